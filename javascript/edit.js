/* The Edit room: one canvas for image to image, sketch, inpainting and outpainting, with the form of Create beside it. */
(() => {
  "use strict";
  const { h, icon, ICONS, type } = window.atelierTools;
  const { Sheet, Stroke, fillArea, corners, canvas, copyOf, MASK_COLOUR, view, results, draft, toolbar } = window.atelierEditParts;
  const MOST_PIXELS = 32_000_000;
  const COLUMNS = ["atelier_words", "atelier_settings"];
  const SIDES = ["left", "right", "top", "bottom"];
  const $ = (id) => document.getElementById(id);

  function build(element, room) {
    const state = { tool: "brush", layer: "mask", colour: "#d64524", size: 48, soft: false, tokens: [], ready: false, cannot: "" };
    const marks = { picture: 0, sketch: 0, mask: 0, words: 0 };  // how often each part of the draft has changed
    const saved = { ...marks };
    const homes = new Map();
    let saving = 0;

    /* ---- the parts ---- */

    const sheet = new Sheet((anew) => changed(anew));
    const surface = h("canvas", { id: "img2maskimg", tabindex: 0, role: "img", "aria-label": "The picture being edited" });
    const look = view(surface, () => ({ sheet, tool: state.tool, size: state.size, sides: sides(), result: shown.bitmap(), split: shown.at(),
      colour: paint(), grows: window.atelierEdit.facts().inpaint }), {
      zoomed: (scale) => tools.zoomed(scale),
      pick: ({ x, y }) => { if (x >= 0 && y >= 0 && x < sheet.width && y < sheet.height) set({ colour: sheet.colourAt(x, y), layer: "sketch" }); },
      stroke: (erase) => new Stroke(sheet, state.layer, { colour: paint(), width: state.size, soft: state.soft, erase: erase || state.tool === "eraser" }),
      area: (tool, points, erase) => fillArea(sheet, state.layer, tool === "rectangle" ? corners(points[0], points.at(-1)) : points, { colour: paint(), erase }),
      grow: setSides,
      split: (share) => shown.split(share),
    });
    const shown = results({ redraw: () => look.draw(), failed: (sentence) => room.say(sentence, true), keep,
      mine: (told) => (told.edit ? state.tokens.includes(told.edit) : told.phase === "refused" && window.atelierRooms.now() === "edit"),
      shown: () => { element.classList.toggle("comparing", Boolean(shown.bitmap())); tools.tell(); look.point(); } });
    const tools = toolbar({ state, sheet, set, look, comparing: () => Boolean(shown.bitmap()), open: () => file.click(),
      grow: () => { element.classList.toggle("growing"); tools.tell(); }, growing: () => element.classList.contains("growing") || grown() });
    const file = h("input.unseen", { type: "file", accept: "image/*", id: "img2img_file", tabindex: -1, "aria-label": "Open a picture",
      onchange: () => { if (file.files[0]) take(file.files[0]); file.value = ""; } });
    const last = h("button.act", { type: "button", onclick: takeShown }, icon(ICONS.recall), h("span", {}, "The picture shown in Create"));
    const empty = h("div.empty", {}, icon(ICONS.brush), h("h2", {}, "A picture to edit"),
      h("p", {}, "Drop one here, paste it, or open a file. Paint a mask over what should change, write what should be there, and press Generate."),
      h("div.acts", {}, h("button.act.primary", { type: "button", onclick: () => file.click() }, h("span", {}, "Open a picture")), last));
    const facts = h("p.facts", { "aria-live": "polite" });
    const stage = h("div.canvas", { id: "img2img_image" }, surface, empty, shown.progress);
    const side = h("div.side");
    element.append(h("div.desk", {}, side, h("div.easel", {}, tools.node, stage, shown.panel, facts)), file);

    const paint = () => (state.layer === "mask" ? MASK_COLOUR : state.colour);
    const sides = () => (sheet.picture ? window.atelierEdit.sides() : [0, 0, 0, 0]);
    const grown = () => sides().some(Boolean);

    function set(values) {
      Object.assign(state, values);
      marks.words += 1;
      later();
      tools.tell();
      look.point();
      look.draw();
    }

    /* ---- the columns of the form, which are lent by Create while this room is open ---- */

    function lend() {
      for (const id of COLUMNS) {
        const column = $(id);
        if (!column) continue;
        if (!homes.has(id)) { homes.set(id, document.createComment(id)); column.before(homes.get(id)); }
        side.append(column);
      }
      const own = $("img2img_fields");
      if (own) $(COLUMNS[0]).after(own);
      look.measure();
      last.hidden = !chosen();
    }

    function giveBack() {
      for (const [id, home] of homes) home.after($(id));
    }

    /* ---- what changes ---- */

    function changed(anew) {
      for (const part of anew ? ["picture", "sketch", "mask"] : ["sketch", "mask"]) marks[part] += 1;
      if (anew) { fit(); look.fit(); }
      element.classList.toggle("filled", Boolean(sheet.picture));
      element.classList.toggle("masked", sheet.masked);
      empty.hidden = Boolean(sheet.picture);
      tools.tell();
      describe();
      look.draw();
      later();
    }

    function describe() {
      const words = [];
      const able = window.atelierEdit.facts();
      if (sheet.picture) {
        const [left, right, top, bottom] = sides();
        words.push(`${sheet.width} × ${sheet.height}`);
        if (grown()) words.push(`Grows to ${sheet.width + left + right} × ${sheet.height + top + bottom}`);
        if (sheet.masked) words.push("What is masked is drawn anew");
      }
      facts.replaceChildren(...words.map((word) => h("span", {}, word)));
      const cannot = !able.inpaint && (sheet.masked || grown()) ? "This model cannot repaint a part of a picture; choose another, or clear mask and margins."
        : !able.img2img && !able.inpaint ? "This model cannot start from a picture; choose another." : "";
      if (cannot || state.cannot) room.say(cannot, true);
      state.cannot = cannot;
    }

    /** Width and height of the form: the picture's own, or as many pixels as the model draws best. */
    function fit() {
      const native = window.atelierEdit.facts().native;
      const scale = Math.sqrt((native * native) / (sheet.width * sheet.height));
      const side = (length) => (scale >= 2 / 3 ? length : Math.max(16, Math.round((length * scale) / 8) * 8));
      for (const [name, length] of [["width", sheet.width], ["height", sheet.height]]) {
        const field = $(`txt2img_${name}`)?.querySelector("input[type=number], input:not([type=range])");
        if (field && sheet.picture) type(field, String(side(length)));
      }
    }

    function setSides(wanted) {
      SIDES.forEach((name, at) => {
        const field = $(`img2img_outpaint_${name}`)?.querySelector("input[type=number], input:not([type=range])");
        if (field && Number(field.value) !== wanted[at]) type(field, String(wanted[at]));
      });
      window.atelierEdit.margins(wanted);
    }

    /* ---- pictures come in ---- */

    async function take(what) {
      try {
        if (!(what instanceof Blob)) {
          const answer = await fetch(new URL(/^[\w-]+$/.test(what) ? `studio/pictures/${what}` : what, document.baseURI));
          if (!answer.ok) throw new Error("This picture is no longer there.");
          what = await answer.blob();
        }
        const bitmap = await createImageBitmap(what).catch(() => { throw new Error("That is no picture that this browser can read."); });
        const scale = Math.min(1, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
        const made = canvas(Math.max(1, Math.floor(bitmap.width * scale)), Math.max(1, Math.floor(bitmap.height * scale)));
        const pen = made.getContext("2d");
        pen.fillStyle = "#fff";
        pen.fillRect(0, 0, made.width, made.height);
        pen.drawImage(bitmap, 0, 0, made.width, made.height);
        room.say(scale < 1 ? `The picture was made smaller, to ${made.width} × ${made.height}.` : "");
        shown.leave();
        setSides([0, 0, 0, 0]);
        sheet.put(made, { undoable: true });
      } catch (error) {
        room.say(error.message, true);
      }
    }

    const chosen = () => {
      const { pictures, chosen: id } = window.atelier.state();
      return pictures.find((picture) => picture.id === id && !picture.moves);
    };
    function takeShown() { if (chosen()) take(chosen().id); }

    /** The result is the picture from now on; the mask moves along with what it lies over. */
    function keep(bitmap) {
      const [left, right, top, bottom] = sides();
      const made = canvas(bitmap.width, bitmap.height);
      made.getContext("2d").drawImage(bitmap, 0, 0);
      const mask = canvas(made.width, made.height);
      const across = made.width / (sheet.width + left + right), down = made.height / (sheet.height + top + bottom);
      if (sheet.masked) mask.getContext("2d").drawImage(sheet.mask, left * across, top * down, sheet.width * across, sheet.height * down);
      shown.leave();
      setSides([0, 0, 0, 0]);
      element.classList.remove("growing");
      sheet.put(made, { mask, undoable: true });
      surface.focus();
    }

    element.addEventListener("dragover", (event) => { event.preventDefault(); element.classList.add("over-it"); });
    element.addEventListener("dragleave", (event) => { if (!element.contains(event.relatedTarget)) element.classList.remove("over-it"); });
    element.addEventListener("drop", (event) => {
      event.preventDefault();
      element.classList.remove("over-it");
      const link = event.dataTransfer.getData("text/uri-list").split("\n")[0];
      if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
      else if (link && new URL(link, document.baseURI).origin === location.origin) take(link);
    });
    addEventListener("paste", (event) => {
      const given = [...(event.clipboardData?.files || [])].find((one) => one.type.startsWith("image/"));
      if (window.atelierRooms.now() !== "edit" || !given) return;
      event.preventDefault();
      take(given);
    });

    /* ---- pictures go out ---- */

    async function upload(layer) {
      const blob = await draft.png(layer);
      if (!blob) throw new Error("This browser cannot pack a picture as large as that.");
      let answer;
      try {
        answer = await fetch(new URL("studio/given", document.baseURI), { method: "POST", body: blob, headers: { "Content-Type": "image/png" } });
      } catch {
        throw new Error("The studio does not answer.");
      }
      const told = await answer.json().catch(() => ({}));
      if (!answer.ok) throw new Error(told.detail || `The studio answered ${answer.status}.`);
      return told.id;
    }

    /** What the studio gets with Generate: where picture and mask were put. */
    async function send() {
      if (!sheet.picture) throw new Error("There is no picture to edit yet; drop one, or open a file.");
      room.say("");
      element.classList.add("sending");
      try {
        const [picture, mask] = await Promise.all([upload(sheet.flat()), sheet.masked ? upload(sheet.maskPicture()) : ""]);
        const token = [...crypto.getRandomValues(new Uint8Array(9))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
        state.tokens = [...state.tokens.slice(-20), token];
        shown.expect();
        set({});
        return { token, picture, mask };
      } finally {
        element.classList.remove("sending");
      }
    }

    /* ---- the draft ---- */

    const KEPT = ["tool", "layer", "colour", "size", "soft", "tokens"];
    function later() {
      if (!state.ready) return;
      element.dataset.draft = "changed";
      clearTimeout(saving);
      saving = setTimeout(() => save().catch(() => { element.dataset.draft = "refused"; }), 700);  // a private window keeps nothing
    }

    async function save() {
      if (look.busy()) return later();
      for (const part of Object.keys(marks)) {
        if (saved[part] === marks[part]) continue;
        const mark = marks[part];
        if (part === "words") await draft.keep(part, Object.fromEntries(KEPT.map((key) => [key, state[key]])));
        else await draft.keep(part, sheet.picture && (part === "picture" || sheet[part === "mask" ? "masked" : "sketched"]) ? await draft.png(sheet[part]) : null);
        saved[part] = mark;
      }
      element.dataset.draft = "kept";
    }

    async function restore() {
      const [words, ...blobs] = await Promise.all(["words", "picture", "sketch", "mask"].map(draft.recall));
      if (words) Object.assign(state, words);
      tools.tell();
      if (!blobs[0] || window.atelierEdit.expects()) return;
      const layers = await Promise.all(blobs.map(async (blob) => (blob ? copyOf(await createImageBitmap(blob)) : null)));
      sheet.put(layers[0], { sketch: layers[1], mask: layers[2] });
      shown.hear(window.atelier.state());
    }

    /* ---- keys ---- */

    const KEYS = { b: { tool: "brush" }, e: { tool: "eraser" }, l: { tool: "lasso" }, r: { tool: "rectangle" }, i: { tool: "pick" }, h: { tool: "hand" } };
    addEventListener("keydown", (event) => {
      if (window.atelierRooms.now() !== "edit" || event.target.closest("input:not([type=range]), textarea, select, [contenteditable], dialog")) return;
      const key = event.key.toLowerCase();
      if ((event.ctrlKey || event.metaKey) && (key === "z" || key === "y")) {
        if (!look.busy() && !shown.bitmap()) (key === "y" || event.shiftKey ? sheet.redo() : sheet.undo());
      } else if (event.ctrlKey || event.metaKey || event.altKey) return;
      else if (KEYS[key]) set(KEYS[key]);
      else if (key === "m") set({ layer: state.layer === "mask" ? "sketch" : "mask" });
      else if (key === "[" || key === "]") set({ size: tools.step(key === "]") });
      else if (key === "f") look.fit();
      else if (key === "+" || key === "-") look.zoom(key === "+" ? 1.25 : 0.8);
      else if (key === " " && !event.target.closest("button, a, input")) look.hold(true);
      else return;
      event.preventDefault();
    });
    addEventListener("keyup", (event) => { if (event.key === " ") look.hold(false); });

    document.addEventListener("atelier:room", (event) => (event.detail === "edit" ? lend() : giveBack()));
    lend();
    changed(false);
    restore().catch(() => null).finally(() => {  // without a store, as in private windows, there is no draft
      state.ready = true;
      Object.assign(saved, marks);
      window.atelierEdit.settle({ take, send,
      fit: () => { tools.tell(); describe(); look.draw(); },
      grow: () => {
        element.classList.toggle("grown", grown());
        tools.tell();
        describe();
        look.grown();
      } });
    });
    return { opened: () => look.fit() };
  }

  window.atelierRooms.add("edit", build);
})();
