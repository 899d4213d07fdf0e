/* The row of tools above the canvas of the Edit room. */
(() => {
  "use strict";
  const { h, icon, ICONS } = window.atelierTools;
  const DRAWINGS = {
    open: "M4 7h5l2 2h9v10H4zM12 17v-5m-2.5 2.5L12 12l2.5 2.5",
    brush: ICONS.brush,
    eraser: "M8 19 3.5 14.5 13 5l6.5 6.5L12 19zM8 10l6.5 6.5M8 19h12",
    lasso: "M12 5c5 0 9 2 9 5s-4 5-9 5-9-2-9-5 4-5 9-5zM7 14.5c-2 1-1.5 4 .5 3.5 1.5-.5.5-3-.5-3.5zM8 18c0 1.5-.5 2.5-2 3",
    rectangle: "M4 6h16v12H4z",
    pick: "M14 6l4 4M12.5 7.5 17 12M13.5 9 6 16.5 4.5 20 8 18.5 15.5 11M15 7l2-2a1.8 1.8 0 0 1 2.5 2.5l-2 2",
    hand: "M12 3v18M3 12h18M12 3 9.5 5.5M12 3l2.5 2.5M12 21l-2.5-2.5M12 21l2.5-2.5M3 12l2.5-2.5M3 12l2.5 2.5M21 12l-2.5-2.5M21 12l-2.5 2.5",
    undo: "M5 9h9a5 5 0 0 1 0 10h-3M5 9l4-4M5 9l4 4",
    redo: "M19 9h-9a5 5 0 0 0 0 10h3M19 9l-4-4M19 9l-4 4",
    invert: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
    clear: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13M10.5 11v5M13.5 11v5",
    fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
    grow: "M8 8h8v8H8zM12 5V2M12 22v-3M5 12H2M22 12h-3",
    soft: "M12 4v2M12 18v2M4 12h2M18 12h2M6.3 6.3l1.5 1.5M16.2 16.2l1.5 1.5M6.3 17.7l1.5-1.5M16.2 7.8l1.5-1.5M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6z",
  };
  const TOOLS = [["brush", "Brush", "B"], ["eraser", "Eraser", "E"], ["lasso", "Lasso; with Alt it erases", "L"],
    ["rectangle", "Rectangle; with Alt it erases", "R"], ["pick", "Take a colour from the picture", "I"], ["hand", "Move the view", "H, or hold the space bar"]];
  const LEAST = 1, MOST = 512;

  /** Build it over the room's state. `set` changes the state; `tell` shows it anew. */
  window.atelierEditParts.toolbar = ({ state, sheet, set, look, comparing, open, grow, growing }) => {
    const button = (name, label, key, act) => h("button.tool", { type: "button", "aria-label": label, title: key ? `${label} (${key})` : label, onclick: act }, icon(DRAWINGS[name]));
    const tools = new Map(TOOLS.map(([name, label, key]) => [name, button(name, label, key, () => set({ tool: name }))]));
    const layers = new Map([["mask", "Mask", "What is painted is drawn anew"], ["sketch", "Colour", "Paint over the picture"]].map(([name, label, title]) =>
      [name, h("button", { type: "button", title: `${title} (M)`, onclick: () => set({ layer: name, tool: state.tool === "pick" || state.tool === "hand" ? "brush" : state.tool }) }, label)]));
    const size = h("input", { type: "range", min: 0, max: 100, step: 0.5, "aria-label": "Brush size", title: "Brush size ([ and ])", oninput: () => set({ size: sizeOf(Number(size.value)) }) });
    const number = h("output.number", { "aria-hidden": "true" });
    const soft = button("soft", "Soft brush", "", () => set({ soft: !state.soft }));
    const colour = h("input", { type: "color", "aria-label": "Colour of the brush", title: "Colour of the brush", oninput: () => set({ colour: colour.value, layer: "sketch" }) });
    const undo = button("undo", "Undo", "Ctrl+Z", () => sheet.undo());
    const redo = button("redo", "Redo", "Ctrl+Shift+Z", () => sheet.redo());
    const invert = button("invert", "Invert the mask", "", () => sheet.invert());
    const clear = button("clear", "Clear the mask", "", () => sheet.clear(state.layer));
    const wider = button("grow", "Grow the picture beyond its edges", "", grow);
    const percent = h("button.percent", { type: "button", title: "Show the whole picture (F)", "aria-label": "Show the whole picture", onclick: () => look.fit() });
    const node = h("div.tools", { role: "toolbar", "aria-label": "Tools for editing" },
      h("div.group", {}, button("open", "Open a picture", "", open)),
      h("div.group.layers", { role: "group", "aria-label": "What is painted on" }, ...layers.values()),
      h("div.group", { role: "group", "aria-label": "Tool" }, ...tools.values()),
      h("div.group.width", {}, size, number, soft, colour),
      h("div.group", {}, undo, redo), h("div.group", {}, invert, clear), h("div.group", {}, wider, percent));

    // Every step of the slider is the same share of the size, so that small brushes can be chosen as finely as large ones.
    const sizeOf = (share) => Math.max(LEAST, Math.round(MOST ** (share / 100)));
    const shareOf = (width) => (Math.log(width) / Math.log(MOST)) * 100;

    function tell() {
      const none = !sheet.picture || comparing();
      for (const [name, one] of tools) {
        one.setAttribute("aria-pressed", state.tool === name);
        one.disabled = none && name !== "hand";
      }
      for (const [name, one] of layers) {
        one.setAttribute("aria-pressed", state.layer === name);
        one.disabled = none || (name === "mask" && !window.atelierEdit.facts().inpaint);
      }
      size.value = shareOf(state.size);
      size.style.setProperty("--share", `${shareOf(state.size)}%`);
      size.setAttribute("aria-valuetext", `${state.size} pixels`);
      number.textContent = state.size;
      soft.setAttribute("aria-pressed", state.soft);
      colour.value = state.colour;
      colour.hidden = state.layer !== "sketch";
      undo.disabled = none || !sheet.past.length;
      redo.disabled = none || !sheet.future.length;
      invert.hidden = state.layer !== "mask";
      invert.disabled = none;
      const what = state.layer === "mask" ? "Clear the mask" : "Clear the colours";
      clear.setAttribute("aria-label", what);
      clear.title = what;
      clear.disabled = none || !(state.layer === "mask" ? sheet.masked : sheet.sketched);
      for (const one of [size, soft, colour, wider]) one.disabled = none;
      wider.setAttribute("aria-pressed", growing());
      wider.hidden = !window.atelierEdit.facts().inpaint;
      percent.disabled = !sheet.picture;
    }

    return { node, tell,
      zoomed(scale) { percent.textContent = `${Math.round(scale * 100)} %`; },
      /** The size that is a step larger or smaller. */
      step: (larger) => Math.max(LEAST, Math.min(MOST, larger ? Math.max(state.size + 1, Math.round(state.size * 1.2)) : Math.min(state.size - 1, Math.round(state.size / 1.2)))) };
  };
})();
