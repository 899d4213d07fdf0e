/* One job in the room Queue: how it looks while it waits, runs and has ended, and what can be done with it. */
(() => {
  "use strict";
  const { h, icon, ICONS } = window.atelierTools;
  const { button, span, moment, DRAWINGS } = window.atelierKit;

  const STAGES = {
    load: "Loading the model", encode: "Reading the prompt", denoise: "Drawing", hires: "Refining at full size",
    detail: "Drawing details", decode: "Developing the picture", faces: "Restoring faces", save: "Saving",
    enlarge: "Making it larger",
  };
  const MODES = { img2img: "From a picture", inpaint: "Part of a picture", enlarge: "A larger picture" };
  const STATES = { done: "Done", failed: "Failed", cancelled: "Stopped", queued: "Waiting", running: "Drawing" };

  /** What a job is called: its name, else its prompt. */
  const title = (job) => job.name || job.words || MODES[job.mode] || "Without words";

  function headline(now) {
    if (!now || !now.stage) return "Beginning";
    const stage = STAGES[now.stage] || "Drawing";
    const words = now.steps && ["denoise", "hires", "detail", "enlarge"].includes(now.stage) ? `${stage}, step ${now.step} of ${now.steps}` : stage;
    return now.batches > 1 ? `${words}, batch ${now.batch + 1} of ${now.batches}` : words;
  }

  /** `desk` does what is pressed: `act(job, word, body)`, `rename`, `look`, `recall`; and says who may what. */
  function make(first, desk) {
    let job = first;
    const name = h("span.name");
    const heading = h("p.title", {}, name);
    const meta = h("p.meta");
    const why = h("p.why", { hidden: "" }, icon(DRAWINGS.wrong), h("span"));
    const bar = h("div.bar", { role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 }, h("i"));
    const stage = h("span.headline");
    const left = h("span.detail");
    const told = h("div.told", {}, stage, left);
    const place = h("span.place");
    const image = h("img", { alt: "", hidden: "", decoding: "async" });
    const open = h("button.look", { type: "button", onclick: () => desk.look(job, open) }, image, place);
    const grip = h("button.grip", { type: "button", title: "Drag to another place, or use the arrow keys" }, icon(DRAWINGS.grip));
    const acts = h("div.acts");
    const node = h("li.job", { "data-id": job.id }, grip, open, h("div.body", {}, heading, meta, why, bar, told), acts);
    let shape = "", object = "";

    function picture(address, alt) {
      if (object && object !== address) URL.revokeObjectURL(object);
      object = address.startsWith("blob:") ? address : "";
      if (image.getAttribute("src") !== address) image.src = address;
      image.alt = alt;
      image.hidden = false;
    }

    function rename() {
      const field = h("input.kit-field", { "aria-label": "Name of this job", maxlength: 200, value: job.name, placeholder: "A name of your own" });
      const close = (keep) => {
        if (!field.isConnected) return;
        const words = field.value.trim();
        heading.replaceChildren(name);
        if (keep && words !== job.name) desk.rename(job, words);
        node.querySelector(".rename")?.focus();
      };
      field.addEventListener("keydown", (event) => {
        if (!["Enter", "Escape"].includes(event.key)) return;
        event.preventDefault();  // else the key would also press the button that gets the focus
        close(event.key === "Enter");
      });
      field.addEventListener("blur", () => close(true));
      heading.replaceChildren(field);
      field.focus();
      field.select();
    }

    function buttons() {
      const does = (words, drawing, act, more = {}) => button(words, drawing, act, { bare: true, ...more });
      const act = (word, body) => () => desk.act(job, word, body);
      const notes = desk.member ? [
        does("Rename", "pen", rename, { kind: "rename" }),
        does(job.bookmarked ? "Take the bookmark away" : "Bookmark, so that it stays in the list", "mark", () => desk.mark(job), { kind: job.bookmarked ? "on" : "mark" }),
      ] : [];
      if (job.state === "running") return [
        ...(job.progress?.batches > 1 ? [does("Leave this batch and go on with the next", "skip", act("skip"))] : []),
        does("Pause; it begins anew when it goes on", "pause", act("pause")), ...notes.slice(0, 1), does("Stop", "stop", act("cancel"), { kind: "danger" }),
      ];
      if (job.state === "queued") return [
        does("To the front", "front", act("move", { front: true })),
        job.paused ? does("Go on", "play", act("resume")) : does("Hold back", "pause", act("pause")),
        ...notes.slice(0, 1), does("Cancel", ICONS.close, act("cancel"), { kind: "danger" }),
      ];
      return [
        ...(job.pictures ? [does("Use these settings", ICONS.recall, () => desk.recall(job))] : []),
        does("Again, with the same seeds", "again", act("requeue")), ...notes,
      ];
    }

    /** Progress alone, as events bring it many times a second. */
    function move(now) {
      job.progress = { ...job.progress, ...now };
      const share = Math.round((job.progress.progress || 0) * 100);
      bar.setAttribute("aria-valuenow", share);
      bar.setAttribute("aria-label", `Progress of ${title(job)}`);
      bar.firstChild.style.width = `${share}%`;
      stage.textContent = headline(job.progress);
      const rest = job.progress.eta_seconds ?? job.progress.eta?.likely;
      left.textContent = rest === null || rest === undefined ? `${share} %` : `${span(rest)} left`;
    }

    function facts() {
      const parts = [desk.everybody ? job.owner : null, job.model || null];
      if (job.state === "queued") {
        const eta = job.progress?.eta;
        parts.push(job.paused ? "Held back" : job.progress?.position ? `${job.progress.position} before it` : "Next");
        if (eta && !job.paused) parts.push(`done in about ${span(eta.likely)}`);
      } else if (job.state === "running") {
        parts.push(`since ${moment(job.started)}`);
      } else {
        parts.push(moment(job.ended || job.created));
        if (job.measured_seconds) parts.push(span(job.measured_seconds));
        if (job.pictures) parts.push(job.pictures === 1 ? "1 picture" : `${job.pictures} pictures`);
      }
      return parts.filter(Boolean);
    }

    function update(next) {
      job = next;
      node.className = `job ${job.state}${job.paused ? " paused" : ""}${job.bookmarked ? " marked" : ""}`;
      name.textContent = title(job);
      name.translate = !(job.name || job.words);
      name.title = job.name && job.words ? job.words : "";
      const ended = !["queued", "running"].includes(job.state);
      meta.replaceChildren(...(ended ? [h(`span.state.${job.state}`, {}, STATES[job.state])] : []), ...facts().map((fact) => h("span", {}, fact)));
      why.hidden = !job.error;
      why.lastChild.textContent = job.error ? job.error.message : "";
      bar.hidden = told.hidden = job.state !== "running";
      grip.hidden = job.state !== "queued" || desk.everybody;
      grip.setAttribute("aria-label", `Move ${title(job)}; the arrow keys change its place`);
      open.disabled = !(ended && job.pictures);
      open.setAttribute("aria-label", open.disabled ? STATES[job.state] : `Pictures of ${title(job)}`);
      if (job.state === "running") move({});
      const kind = [job.state, job.paused, job.bookmarked, job.pictures > 0, job.progress?.batches > 1, desk.member].join();
      if (kind !== shape) {
        // A button that was pressed may be another one now; the keyboard stays where it was.
        const at = [...acts.children].indexOf(document.activeElement);
        acts.replaceChildren(...buttons());
        if (at >= 0) acts.children[Math.min(at, acts.children.length - 1)]?.focus();
        shape = kind;
      }
      if (ended && job.pictures) desk.watch(node);
      else if (ended) {
        image.hidden = true;
        place.replaceChildren(icon(job.state === "failed" ? DRAWINGS.wrong : DRAWINGS.stop));
      } else if (job.state === "queued") place.textContent = job.place ? String(job.place) : "";
      else if (desk.fresh && job.progress?.preview && image.hidden) picture(desk.preview(job), "Unfinished picture");
      else place.replaceChildren(icon(DRAWINGS.clock));
      place.hidden = !image.hidden;
    }

    return { node, update, move, grip, get job() { return job; },
      gone() {
        if (object) URL.revokeObjectURL(object);
        desk.unwatch(node);
      },
      show(address, alt) { picture(address, alt); place.hidden = true; } };
  }

  window.atelierQueueRow = { make, title };
})();
