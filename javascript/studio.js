/* The browser's side of the page. Gradio carries values; what a person sees of pictures, progress and details is drawn
   here. Each part is raised once inside a shell that `modules/ui/elements.py` declares, and redrawn when its value
   changes. Nothing is fetched from anywhere but the studio itself. */
(() => {
  "use strict";
  if (window.atelier) return;

  const state = { told: {}, pictures: [], chosen: null, follow: true, heard: Date.now(), lost: false, past: new Set() };
  const redraws = new Set();
  const redraw = () => redraws.forEach((draw) => draw());
  const { h, icon, ICONS, type, copy, parts, play, glide } = window.atelierTools;

  const address = (picture, kind = "pictures") => new URL(`studio/${kind}/${picture.id}`, document.baseURI).href;
  const busy = () => ["queued", "running"].includes(state.told.phase);

  /* ---- choosing a picture ----------------------------------------------------------------------------------- */

  const chosen = () => state.pictures.find((picture) => picture.id === state.chosen) || null;

  function choose(id) {
    state.chosen = id;
    state.follow = false;
    redraw();
  }

  function step(by) {
    const at = state.pictures.findIndex((picture) => picture.id === state.chosen);
    const next = state.pictures[Math.min(Math.max(at + by, 0), state.pictures.length - 1)];
    if (next) choose(next.id);
  }

  /** After a change from the server: show what is newest unless the person is looking at something else. */
  function settle() {
    const own = state.pictures.find((picture) => picture.job === state.told.job);
    if (state.follow || !chosen()) state.chosen = (own || state.pictures[0] || {}).id || null;
    document.body.classList.toggle("atelier-busy", busy());
    const share = Math.round((state.told.progress || 0) * 100);
    document.title = busy() ? (state.told.known ? `${share} % · Atelier` : "… · Atelier") : "Atelier";
    document.dispatchEvent(new CustomEvent("atelier:told", { detail: state }));
    redraw();
  }

  /* ---- the stage -------------------------------------------------------------------------------------------- */

  function raiseStage(element, props, watch, send) {
    const shown = h("img.shown", { alt: "", onclick: () => !previewing() && chosen() && openViewer() });
    const film = h("video.shown", { controls: "", loop: "", playsinline: "", "aria-label": "Film" });
    film.muted = true;
    const headline = h("strong.headline");
    const detail = h("span.detail");
    const bar = h("div.bar", { role: "progressbar", "aria-label": "Progress", "aria-valuemin": 0, "aria-valuemax": 100 }, h("i"));
    const progress = h("div.progress", {}, bar, h("div.told", { role: "status" }, headline, detail));
    const alert = h("div.alert", { role: "alert" });
    const notes = h("div.notes", { role: "status" });
    const empty = h("div.empty", {}, icon(ICONS.easel), h("h2", {}, "Your first picture"),
      h("p", {}, "Write what you want to see, or pick one of the suggestions, then press Generate."));
    const canvas = h("div.canvas", {}, empty, shown, film, progress);
    const details = h("aside.details", { "aria-label": "Picture details", hidden: "" });
    element.querySelector(".atelier-stage").append(alert, notes, canvas, details);
    let detailed = null;

    const previewing = () => busy() && state.follow && state.told.preview;

    function drawPicture() {
      const picture = chosen();
      const source = previewing() ? state.told.preview : picture ? address(picture) : "";
      empty.hidden = Boolean(source);
      empty.classList.toggle("waiting", busy());
      const moves = Boolean(picture && picture.moves && !previewing());
      play(film, moves ? source : "");
      shown.hidden = !source || moves;
      shown.classList.toggle("unfinished", Boolean(previewing()));
      shown.classList.toggle("past", Boolean(busy() && state.follow && !state.told.preview));
      if (source && !moves && shown.getAttribute("src") !== source) shown.src = source;
      shown.translate = Boolean(previewing());
      shown.alt = previewing() ? "Unfinished picture" : picture ? picture.prompt : "";
    }

    function drawProgress() {
      const told = state.told;
      progress.hidden = !busy();
      bar.classList.toggle("unknown", !told.known);
      const share = Math.round((told.progress || 0) * 100);
      if (told.known) bar.setAttribute("aria-valuenow", share);
      else bar.removeAttribute("aria-valuenow");
      bar.firstChild.style.width = told.known ? `${share}%` : "";
      headline.textContent = state.lost ? "Connection lost, trying again" : told.headline || "";
      const more = told.waiting ? `${told.waiting} more waiting` : "";
      detail.textContent = [told.detail, more].filter(Boolean).join(" · ");
      canvas.setAttribute("aria-busy", busy());
      const stopped = told.phase === "cancelled" && !told.pictures ? "Stopped before a picture was finished." : "";
      alert.hidden = !told.error;
      alert.textContent = told.error || "";
      const said = stopped ? [stopped] : told.notes || [];
      notes.hidden = !said.length;
      notes.replaceChildren(...said.map((note) => h("p", {}, note)));
    }

    function drawDetails() {
      const picture = chosen();
      const id = picture ? picture.id : null;
      if (id === detailed) return;
      detailed = id;
      details.hidden = !picture;
      if (!picture) return details.replaceChildren();
      const { prompt, negative, pairs } = parts(picture.infotext);
      const copied = h("button.act", { type: "button", onclick: async () => {
        await copy(picture.infotext);
        copied.lastChild.textContent = "Copied";
        setTimeout(() => { copied.lastChild.textContent = "Copy"; }, 1600);
      } }, icon(ICONS.copy), h("span", {}, "Copy"));
      const recall = h("button.act.main", { type: "button", onclick: () => {
        send("recall", { id: picture.id });
        const prompted = document.querySelector("#txt2img_prompt textarea");
        if (prompted) glide(prompted, "center");
      } }, icon(ICONS.recall), h("span", {}, "Use these settings"));
      const save = h("a.act", { href: address(picture), download: picture.name }, icon(ICONS.save), h("span", {}, "Download"));
      const larger = h("button.act", { type: "button", title: "Make it larger, as set under Enlarging", onclick: () => {
        send("enlarge", { id: picture.id });
      } }, icon(ICONS.larger), h("span", {}, "Enlarge"));
      const edit = picture.moves ? null : h("button.act", { type: "button", title: "Paint over it, or go on from it", onclick: () => window.atelierEdit.take(picture.id) },
        icon(ICONS.brush), h("span", {}, "Edit"));
      const rows = [["Size", `${picture.width} × ${picture.height}`], ...pairs.filter(([key]) => key !== "Size")];
      const list = h("dl", {}, ...rows.map(([key, value]) => h("div", {}, h("dt", {}, key), h("dd", { translate: "no" }, value))));
      const info = h("div", { id: "html_info_txt2img" }, h("p.prompt", { translate: prompt ? "no" : null }, prompt || "No prompt"),
        negative ? h("p.negative", {}, h("b", {}, "Without: "), h("span", { translate: "no" }, negative)) : null, list);
      const verify = window.atelierVerify ? window.atelierVerify(picture, h, icon) : null;
      const acts = h("div.acts", {}, recall, edit, larger, copied, save, verify && verify.button);
      details.replaceChildren(acts, ...(verify ? [verify.said] : []), info);
    }

    redraws.add(() => { drawPicture(); drawProgress(); drawDetails(); });
    const hear = () => {
      const told = props.value || {};
      const fresh = told.job && told.job !== state.told.job;
      // The end of a stream repeats what it said last, and may come after another job has begun to be told of.
      if (fresh && state.past.has(told.job)) return;
      if (fresh && state.told.job) state.past.add(state.told.job);
      if (fresh) state.follow = true;
      if (fresh) comeIntoView(canvas);
      state.told = told;
      state.heard = Date.now();
      state.lost = false;
      settle();
      if (told.error) alert.scrollIntoView({ block: "nearest" });
    };
    window.atelierLine(state, busy, redraw, send);
    state.send = send;
    watch("value", hear);
    window.atelierSliders.give(props.ranges || {});
    hear();
  }

  /** On a phone the form may have scrolled the picture away; a new job brings it back. */
  function comeIntoView(node) {
    const { top, bottom } = node.getBoundingClientRect();
    const narrow = matchMedia("(max-width: 820px)").matches;
    if (narrow && (bottom < 120 || top > innerHeight - 160)) glide(node, "center");
  }

  /* ---- the gallery and the viewer --------------------------------------------------------------------------- */

  function raiseGallery(element, props, watch) {
    const grid = h("div.grid", { role: "group", "aria-label": "Your pictures" });
    const heading = h("h2", {}, "Your pictures");
    const shell = h("section.shelf", {}, heading, grid);
    element.querySelector(".atelier-gallery").append(shell);
    const thumbs = new Map();

    function thumb(picture) {
      if (!thumbs.has(picture.id)) {
        const image = h("img", { src: address(picture, "thumbs"), alt: picture.prompt, loading: "lazy", decoding: "async" });
        thumbs.set(picture.id, h("button.thumb", { type: "button", translate: "no", title: picture.prompt, "data-id": picture.id,
          onclick: () => choose(picture.id), ondblclick: openViewer }, image));
      }
      return thumbs.get(picture.id);
    }

    grid.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      step(by);
      const node = thumbs.get(state.chosen);
      if (node) node.focus();
    });

    redraws.add(() => {
      shell.hidden = !state.pictures.length;
      const nodes = state.pictures.map(thumb);
      if (nodes.some((node, at) => grid.children[at] !== node) || nodes.length !== grid.children.length) {
        grid.replaceChildren(...nodes);
      }
      for (const [id, node] of thumbs) {
        node.setAttribute("aria-pressed", id === state.chosen);
        node.tabIndex = id === state.chosen || (!state.chosen && grid.firstChild === node) ? 0 : -1;
      }
    });
    const hear = () => {
      state.pictures = (props.value || {}).pictures || [];
      document.dispatchEvent(new CustomEvent("atelier:pictures"));
      settle();
    };
    watch("value", hear);
    hear();
  }

  const viewer = { box: null, image: null, film: null };

  function openViewer() {
    if (!viewer.box) {
      viewer.image = h("img", { alt: "", translate: "no" });
      viewer.film = h("video", { controls: "", loop: "", playsinline: "", "aria-label": "Film" });
      const button = (label, path, act) => h(`button.over.${label.toLowerCase()}`, { type: "button", "aria-label": label, onclick: act }, icon(path));
      viewer.box = h("dialog.viewer", { "aria-label": "Picture" }, viewer.image, viewer.film,
        button("Close", ICONS.close, () => viewer.box.close()),
        button("Previous", ICONS.left, () => step(-1)), button("Next", ICONS.right, () => step(1)));
      viewer.box.addEventListener("close", () => play(viewer.film, ""));
      viewer.box.addEventListener("click", (event) => { if (event.target === viewer.box) viewer.box.close(); });
      viewer.box.addEventListener("keydown", (event) => {
        const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (by) { event.preventDefault(); step(by); }
      });
      redraws.add(() => {
        const picture = chosen();
        if (!picture || !viewer.box.open) return;
        viewer.image.hidden = Boolean(picture.moves);
        play(viewer.film, picture.moves ? address(picture) : "");
        if (!picture.moves) viewer.image.src = address(picture);
        viewer.image.alt = picture.prompt;
      });
      document.body.append(viewer.box);
    }
    viewer.box.showModal();
    // A film that is hidden again would take the keyboard with it.
    viewer.box.querySelector(".close").focus();
    redraw();
  }

  /* ---- suggestions, appearance ------------------------------------------------------------------------------ */

  function raiseExamples(element, props, watch) {
    const row = h("div.chips", { role: "group", "aria-label": "Suggestions" });
    element.querySelector(".atelier-examples").append(row);
    row.addEventListener("wheel", (event) => {
      if (event.deltaX || row.scrollWidth <= row.clientWidth) return;
      event.preventDefault();
      row.scrollLeft += event.deltaY;
    }, { passive: false });
    const put = (prompt) => {
      const field = document.querySelector("#txt2img_prompt textarea");
      type(field, prompt);
      if (matchMedia("(hover: hover)").matches) field.focus();
    };
    const draw = () => {
      const prompts = (props.value || {}).prompts || [];
      const surprise = () => {
        const now = document.querySelector("#txt2img_prompt textarea").value;
        const others = prompts.filter((prompt) => prompt !== now);
        put(others[Math.floor(Math.random() * others.length)]);
      };
      row.replaceChildren(
        h("button.chip.idea", { type: "button", onclick: surprise }, icon(ICONS.spark), "Surprise me"),
        ...prompts.map((prompt) => h("button.chip", { type: "button", translate: "no", onclick: () => put(prompt) }, prompt)));
    };
    watch("value", draw);
    draw();
  }

  const KEPT = "atelier-appearance";

  function dress(dark) {
    document.documentElement.classList.toggle("dark", dark);
    document.body.classList.toggle("dark", dark);
  }

  function raiseAppearance(element) {
    const button = h("button.bare", { type: "button", "aria-label": "Switch between light and dark", onclick: () => {
      const dark = !document.body.classList.contains("dark");
      localStorage.setItem(KEPT, dark ? "dark" : "light");
      dress(dark);
    } }, icon(ICONS.sun));
    element.querySelector(".atelier-appearance").append(window.atelierKeys.button(), window.atelierNotices.button(), button);
    const kept = localStorage.getItem(KEPT);
    if (kept) dress(kept === "dark");
  }

  /* ---- what Gradio's side calls ----------------------------------------------------------------------------- */

  const RAISERS = { stage: raiseStage, gallery: raiseGallery, examples: raiseExamples, appearance: raiseAppearance,
    language: (element) => window.atelierLanguage.raise(element),
    control: (...parts) => window.atelierControl(...parts),
    archive: (...parts) => window.atelierArchive(...parts),
    facts: (...parts) => window.atelierEdit.raise(...parts) };

  window.atelier = {
    raise: (part, element, props, watch, send) => RAISERS[part](element, props, watch, send),
    slide: (id, value) => window.atelierSliders.move(id, value),
    /** What the page knows of its jobs and pictures; told anew by the event atelier:told. */
    state: () => state,
    /** What another room asks of Create: `recall` or `enlarge` a picture by its id, `attach` to what is drawn. */
    send: (word, data) => state.send(word, data),
    /** Put what a picture was made with into the form, and go there. */
    recall: (id) => { window.atelierRooms.go("txt2img"); state.send("recall", { id }); },
    /** Seed of the picture shown, or the one given when there is none. */
    seed: (fallback) => chosen()?.seed ?? fallback,
    /** The offered aspect that a size comes close to, or null. */
    aspect(width, height) {
      const near = [...document.querySelectorAll("#txt2img_aspect input")].map((option) => {
        const [wide, high] = option.value.split(":").map(Number);
        return [Math.abs(Math.log((wide / high) / (width / height))), option.value];
      }).sort((a, b) => a[0] - b[0])[0];
      return near && near[0] < 0.05 ? near[1] : null;
    },
  };
})();
