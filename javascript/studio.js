/* The browser's side of the page. Gradio carries values; what a person sees of pictures, progress and details is drawn
   here. Each part is raised once inside a shell that `modules/ui/elements.py` declares, and redrawn when its value
   changes. Nothing is fetched from anywhere but the studio itself. */
(() => {
  "use strict";
  if (window.atelier) return;

  const state = { told: {}, pictures: [], chosen: null, follow: true, heard: Date.now(), lost: false };
  const redraws = new Set();
  const redraw = () => redraws.forEach((draw) => draw());
  const $ = (id) => document.getElementById(id);

  /* ---- small helpers ---------------------------------------------------------------------------------------- */

  /** Make an element: h("a.link", {href}, child, …). Text is set as text, never as markup. */
  function h(kind, attributes = {}, ...children) {
    const [tag, ...classes] = kind.split(".");
    const node = document.createElement(tag);
    if (classes.length) node.className = classes.join(" ");
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }

  /** A drawing of 24 × 24 from one path, hidden from screen readers. */
  function icon(path) {
    const space = "http://www.w3.org/2000/svg";
    const drawing = document.createElementNS(space, "svg");
    drawing.setAttribute("viewBox", "0 0 24 24");
    drawing.setAttribute("aria-hidden", "true");
    drawing.setAttribute("class", "icon-line");
    const line = document.createElementNS(space, "path");
    line.setAttribute("d", path);
    drawing.append(line);
    return drawing;
  }

  const ICONS = {
    recall: "M4 9h11a5 5 0 0 1 0 10h-3M4 9l4-4M4 9l4 4",
    copy: "M9 9h10v11H9zM5 15V4h10",
    larger: "M14 4h6v6M20 4l-7 7M10 20H4v-6M4 20l7-7",
    save: "M12 4v11m0 0 4-4m-4 4-4-4M5 20h14",
    sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2m0 16v2M2 12h2m16 0h2M5 5l1.4 1.4m11.2 11.2L19 19M5 19l1.4-1.4M17.6 6.4 19 5",
    spark: "M12 3l1.8 5.2L19 10l-5.2 1.8L12 17l-1.8-5.2L5 10l5.2-1.8zM19 16v4m-2-2h4",
    left: "M15 5l-7 7 7 7",
    right: "M9 5l7 7-7 7",
    close: "M6 6l12 12M18 6 6 18",
    easel: "M12 3v3M5 6h14v10H5zM8 16l-2.5 5M16 16l2.5 5M9 13l2.2-3 1.8 2.2 1.2-1.4L16 13",
  };

  const address = (picture, kind = "pictures") => new URL(`studio/${kind}/${picture.id}`, document.baseURI).href;
  const busy = () => ["queued", "running"].includes(state.told.phase);

  /** Set a field as if a person had typed it, so that Gradio hears of it. */
  function type(field, value) {
    const kind = field instanceof HTMLTextAreaElement ? HTMLTextAreaElement : HTMLInputElement;
    Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(field, value);
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Browsers hide the clipboard on plain http from another machine; the old way still works there.
      const field = h("textarea", { style: "position:fixed;opacity:0" });
      field.value = text;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
  }

  /** A1111 infotext in three parts for display: prompt, negative prompt, pairs of label and value. */
  function parts(infotext) {
    const lines = (infotext || "").split("\n");
    const last = lines[lines.length - 1];
    const pairs = [];
    if (/^\s*[\w .-]+: /.test(last) && lines.length > 1 && !last.startsWith("Negative prompt:")) {
      lines.pop();
      for (const [, key, value] of last.matchAll(/\s*([\w .\-/]+):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)/g)) {
        pairs.push([key, value.startsWith('"') ? value.slice(1, -1) : value]);
      }
    }
    const cut = lines.findIndex((line) => line.startsWith("Negative prompt:"));
    const prompt = (cut < 0 ? lines : lines.slice(0, cut)).join("\n");
    const negative = cut < 0 ? "" : lines.slice(cut).join("\n").replace(/^Negative prompt:\s*/, "");
    return { prompt, negative, pairs };
  }

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
    redraw();
  }

  /* ---- the stage -------------------------------------------------------------------------------------------- */

  function raiseStage(element, props, watch, send) {
    const shown = h("img.shown", { alt: "", onclick: () => !previewing() && chosen() && openViewer() });
    const headline = h("strong.headline");
    const detail = h("span.detail");
    const bar = h("div.bar", { role: "progressbar", "aria-label": "Progress", "aria-valuemin": 0, "aria-valuemax": 100 }, h("i"));
    const progress = h("div.progress", {}, bar, h("div.told", { role: "status" }, headline, detail));
    const alert = h("div.alert", { role: "alert" });
    const notes = h("div.notes", { role: "status" });
    const empty = h("div.empty", {}, icon(ICONS.easel), h("h2", {}, "Your first picture"),
      h("p", {}, "Write what you want to see, or pick one of the suggestions, then press Generate."));
    const canvas = h("div.canvas", {}, empty, shown, progress);
    const details = h("aside.details", { "aria-label": "Picture details", hidden: "" });
    element.querySelector(".atelier-stage").append(alert, notes, canvas, details);
    let detailed = null;

    const previewing = () => busy() && state.follow && state.told.preview;

    function drawPicture() {
      const picture = chosen();
      const source = previewing() ? state.told.preview : picture ? address(picture) : "";
      empty.hidden = Boolean(source);
      empty.classList.toggle("waiting", busy());
      shown.hidden = !source;
      shown.classList.toggle("unfinished", Boolean(previewing()));
      shown.classList.toggle("past", Boolean(busy() && state.follow && !state.told.preview));
      if (source && shown.getAttribute("src") !== source) shown.src = source;
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
        if (prompted) prompted.scrollIntoView({ block: "center", behavior: "smooth" });
      } }, icon(ICONS.recall), h("span", {}, "Use these settings"));
      const save = h("a.act", { href: address(picture), download: picture.name }, icon(ICONS.save), h("span", {}, "Download"));
      const larger = h("button.act", { type: "button", title: "Make it larger, as set under Enlarging", onclick: () => {
        send("enlarge", { id: picture.id });
      } }, icon(ICONS.larger), h("span", {}, "Enlarge"));
      const rows = [["Size", `${picture.width} × ${picture.height}`], ...pairs.filter(([key]) => key !== "Size")];
      const list = h("dl", {}, ...rows.map(([key, value]) => h("div", {}, h("dt", {}, key), h("dd", {}, value))));
      const info = h("div", { id: "html_info_txt2img" }, h("p.prompt", {}, prompt || "No prompt"),
        negative ? h("p.negative", {}, h("b", {}, "Without: "), negative) : null, list);
      const verify = window.atelierVerify ? window.atelierVerify(picture, h, icon) : null;
      const acts = h("div.acts", {}, recall, larger, copied, save, verify && verify.button);
      details.replaceChildren(acts, ...(verify ? [verify.said] : []), info);
    }

    redraws.add(() => { drawPicture(); drawProgress(); drawDetails(); });
    const hear = () => {
      const told = props.value || {};
      const fresh = told.job && told.job !== state.told.job;
      if (fresh) state.follow = true;
      if (fresh) comeIntoView(canvas);
      state.told = told;
      state.heard = Date.now();
      state.lost = false;
      settle();
      if (told.error) alert.scrollIntoView({ block: "nearest" });
    };
    window.atelierLine(state, busy, redraw, send);
    watch("value", hear);
    ranges = props.ranges || {};
    enhance();
    hear();
  }

  /** On a phone the form may have scrolled the picture away; a new job brings it back. */
  function comeIntoView(node) {
    const { top, bottom } = node.getBoundingClientRect();
    const narrow = matchMedia("(max-width: 820px)").matches;
    if (narrow && (bottom < 120 || top > innerHeight - 160)) node.scrollIntoView({ block: "center", behavior: "smooth" });
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
        thumbs.set(picture.id, h("button.thumb", { type: "button", title: picture.prompt, "data-id": picture.id,
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
      settle();
    };
    watch("value", hear);
    hear();
  }

  const viewer = { box: null, image: null };

  function openViewer() {
    if (!viewer.box) {
      viewer.image = h("img", { alt: "" });
      const button = (label, path, act) => h(`button.over.${label.toLowerCase()}`, { type: "button", "aria-label": label, onclick: act }, icon(path));
      viewer.box = h("dialog.viewer", { "aria-label": "Picture" }, viewer.image,
        button("Close", ICONS.close, () => viewer.box.close()),
        button("Previous", ICONS.left, () => step(-1)), button("Next", ICONS.right, () => step(1)));
      viewer.box.addEventListener("click", (event) => { if (event.target === viewer.box) viewer.box.close(); });
      viewer.box.addEventListener("keydown", (event) => {
        const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
        if (by) { event.preventDefault(); step(by); }
      });
      redraws.add(() => {
        const picture = chosen();
        if (!picture || !viewer.box.open) return;
        viewer.image.src = address(picture);
        viewer.image.alt = picture.prompt;
      });
      document.body.append(viewer.box);
    }
    viewer.box.showModal();
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
        ...prompts.map((prompt) => h("button.chip", { type: "button", onclick: () => put(prompt) }, prompt)));
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
    element.querySelector(".atelier-appearance").append(button);
    const kept = localStorage.getItem(KEPT);
    if (kept) dress(kept === "dark");
  }

  /* ---- sliders beside numbers, shortcuts -------------------------------------------------------------------- */

  let ranges = {};

  /** Give each number that has a comfortable range a slider; the number itself still takes every lawful value. */
  function enhance() {
    for (const [id, [low, high]] of Object.entries(ranges)) {
      const box = $(id);
      const number = box && box.querySelector("input[type=number]");
      if (!number || box.querySelector("input[type=range]")) continue;
      const label = box.querySelector("[data-testid=block-info], span")?.textContent.trim() || id;
      const range = h("input", { type: "range", min: low, max: high, step: number.step || 1, "aria-label": label });
      range.value = number.value;
      paint(range);
      range.addEventListener("input", () => { type(number, range.value); paint(range); });
      number.addEventListener("input", () => { range.value = number.value; paint(range); });
      number.after(range);
    }
    for (const button of document.querySelectorAll("button.icon:not([title])")) button.title = button.textContent.trim();
    const go = $("txt2img_generate");
    if (go && !go.title) go.title = "Ctrl + Enter";
  }

  function paint(range) {
    const share = (100 * (range.value - range.min)) / (range.max - range.min);
    range.style.setProperty("--share", `${Math.min(Math.max(share, 0), 100)}%`);
  }

  let planned = false;
  new MutationObserver(() => {
    if (planned) return;
    planned = true;
    requestAnimationFrame(() => { planned = false; enhance(); });
  }).observe(document.documentElement, { childList: true, subtree: true });

  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "Enter") {
      event.preventDefault();
      $("txt2img_generate")?.click();
    }
  });

  /* ---- what Gradio's side calls ----------------------------------------------------------------------------- */

  const RAISERS = { stage: raiseStage, gallery: raiseGallery, examples: raiseExamples, appearance: raiseAppearance };

  window.atelier = {
    raise: (part, element, props, watch, send) => RAISERS[part](element, props, watch, send),
    /** A value was set by the studio: move the slider with it. */
    slide(id, value) {
      const range = $(id)?.querySelector("input[type=range]");
      if (range && value !== null) { range.value = value; paint(range); }
    },
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
