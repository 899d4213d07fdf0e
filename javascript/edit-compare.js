/* The results of what was asked for from the Edit room: the job as it is drawn, and its pictures over the original. */
(() => {
  "use strict";
  const { h, icon, ICONS } = window.atelierTools;

  const address = (id, kind = "pictures") => new URL(`studio/${kind}/${id}`, document.baseURI).href;

  /** Build it. `room` gives `redraw`, `keep(bitmap, picture)`, `failed(sentence)`, and `mine(told)`: whether a job is this room's. */
  window.atelierEditParts.results = (room) => {
    const now = { job: null, pictures: [], at: 0, bitmap: null, split: 0.5, wanted: null };

    const preview = h("img", { alt: "Unfinished picture", hidden: "" });
    const bar = h("div.bar", { role: "progressbar", "aria-label": "Progress", "aria-valuemin": 0, "aria-valuemax": 100 }, h("i"));
    const headline = h("strong.headline");
    const detail = h("span.detail");
    const progress = h("div.progress", { hidden: "" }, preview, h("div", {}, bar, h("div.told", { role: "status" }, headline, detail)));

    const slider = h("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": "Original on the left, result on the right",
      oninput: () => split(slider.value / 100) });
    const strip = h("div.strip", { role: "group", "aria-label": "Results" });
    const keep = h("button.act.primary", { type: "button", title: "Go on from this result", onclick: () => now.bitmap && room.keep(now.bitmap, now.pictures[now.at]) },
      icon(ICONS.check), h("span", {}, "Keep"));
    const drop = h("button.act", { type: "button", title: "Go on from the picture as it was; the result stays among your pictures", onclick: leave },
      icon(ICONS.recall), h("span", {}, "Undo result"));
    const save = h("a.act", { title: "Save the result as a file" }, icon(ICONS.save), h("span", {}, "Download"));
    const panel = h("div.results", { hidden: "" },
      h("label.compare", {}, h("span", {}, "Original"), slider, h("span", {}, "Result")), strip, h("div.decide", {}, drop, save, keep));

    function split(share) {
      now.split = share;
      slider.value = Math.round(share * 100);
      slider.style.setProperty("--share", `${share * 100}%`);
      room.redraw();
    }

    async function show(at) {
      const picture = now.pictures[at];
      if (!picture) return;
      Object.assign(now, { at, wanted: picture.id });
      let bitmap;
      try {
        const answer = await fetch(address(picture.id));
        if (!answer.ok) throw new Error();
        bitmap = await createImageBitmap(await answer.blob());
      } catch {
        return room.failed("The result could not be fetched.");
      }
      if (now.wanted !== picture.id) return;  // somebody was quicker
      now.bitmap = bitmap;
      Object.assign(save, { href: address(picture.id), download: picture.name });
      panel.hidden = false;
      tell();
      split(now.split);
      room.shown();
    }

    /** Pictures of the job, the first of them at the left. */
    function tell() {
      strip.hidden = now.pictures.length < 2;
      strip.replaceChildren(...now.pictures.map((picture, at) => h("button.thumb", { type: "button", "aria-pressed": at === now.at,
        "aria-label": `Result ${at + 1} of ${now.pictures.length}`, onclick: () => show(at) }, h("img", { src: address(picture.id, "thumbs"), alt: "" }))));
    }

    /** Back to the picture as it was. */
    function leave() {
      Object.assign(now, { job: null, pictures: [], bitmap: null, wanted: null, split: 0.5 });
      panel.hidden = true;
      room.shown();
      room.redraw();
    }

    function hear(state) {
      const { told } = state;
      const mine = room.mine(told);
      const busy = mine && ["queued", "running"].includes(told.phase);
      progress.hidden = !busy;
      if (busy) {
        const share = Math.round((told.progress || 0) * 100);
        bar.classList.toggle("unknown", !told.known);
        if (told.known) bar.setAttribute("aria-valuenow", share); else bar.removeAttribute("aria-valuenow");
        bar.firstChild.style.width = told.known ? `${share}%` : "";
        headline.textContent = state.lost ? "Connection lost, trying again" : told.headline || "";
        detail.textContent = told.detail || "";
        preview.hidden = !told.preview;
        if (told.preview) preview.src = told.preview;
      }
      if (mine && told.error) room.failed(told.error);
      if (mine && told.job) now.job = told.job;
      if (!now.job) return;
      const pictures = state.pictures.filter((picture) => picture.job === now.job && !picture.moves).reverse();
      if (pictures.length <= now.pictures.length) return;
      const first = !now.pictures.length || now.pictures[0].job !== now.job;
      now.pictures = pictures;
      if (first) show(0); else tell();
    }

    document.addEventListener("atelier:told", (event) => hear(event.detail));
    return { progress, panel, leave, split, hear,
      /** A new job was asked for: what was shown of another gives way when its first picture is there. */
      expect() { Object.assign(now, { job: null, pictures: [] }); },
      bitmap: () => now.bitmap, at: () => now.split };
  };
})();
