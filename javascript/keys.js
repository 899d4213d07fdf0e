/* The keys that work wherever the cursor is, and the sheet that lists those of the open room. */
(() => {
  "use strict";
  if (window.atelierKeys) return;
  const { h, icon, ICONS } = window.atelierTools;
  const $ = (id) => document.getElementById(id);
  const CTRL = /Mac|iPhone|iPad/.test(navigator.platform) ? "Cmd" : "Ctrl";
  const ALL = "";
  const KEYBOARD = "M3 6h18v12H3zM7 10h.01M11 10h.01M15 10h.01M18 10h.01M7 14h10";

  /* A list is a heading and its rows; a row is what is pressed, in turn or at once, and what it does. */
  const DRAWING = ["Drawing", [
    [[CTRL, "Enter"], "Generate"],
    [["Alt", "Enter"], "Leave the current batch and go on with the next one"],
    [["Esc"], "Stop the job that runs"],
  ]];
  const WRITING = ["Writing a prompt", [
    [[CTRL, "↑", "↓"], "More or less weight for what is selected, or for the word at the cursor"],
    [["Alt", "↑", "↓"], "Earlier and later prompts"],
  ]];
  const lists = new Map([
    [ALL, [["Everywhere", [
      [["?"], "This list"],
      [["Esc"], "Close what lies in front"],
    ]]]],
    ["txt2img", [DRAWING, WRITING, ["Pictures", [
      [["←", "→"], "The picture before and the one after"],
    ]]]],
    ["edit", [["On the canvas", [
      [["B"], "Brush"],
      [["E"], "Eraser"],
      [["L"], "Lasso"],
      [["R"], "Rectangle"],
      [["I"], "Take a colour from the picture"],
      [["H"], "Move the view"],
      [["M"], "Mask or colour"],
      [["[", "]"], "Smaller and larger brush"],
      [["+", "-"], "Nearer and farther"],
      [["F"], "The whole picture"],
      [["Space"], "Move the view while it is held"],
      [[CTRL, "Z"], "Undo"],
      [[CTRL, "Shift", "Z"], "Redo"],
    ]], DRAWING, WRITING]],
    ["gallery", [["Among the pictures", [
      [["←", "→", "↑", "↓"], "Walk"],
      [["Home", "End"], "The first and the last"],
      [["Enter"], "Open"],
      [["Space"], "Select"],
      [["Shift", "←", "→", "↑", "↓"], "Select up to there"],
      [[CTRL, "A"], "Select all"],
      [["Esc"], "Select none"],
      [["F"], "Favourite"],
      [["Delete"], "Delete"],
    ]], ["One picture", [
      [["←", "→"], "The picture before and the one after"],
      [["+", "-"], "Nearer and farther"],
      [["0"], "The whole picture"],
      [["I"], "Hide or show its parameters"],
      [["F"], "Favourite"],
      [["Delete"], "Delete"],
    ]]]],
    ["queue", [["On the grip of a job that waits", [
      [["↑", "↓"], "Earlier and later"],
      [["Home", "End"], "The first and the last"],
    ]], ["Pictures of a job", [
      [["←", "→"], "The picture before and the one after"],
    ]]]],
  ]);

  function section([heading, rows]) {
    return h("section", {}, h("h3", {}, heading), h("dl", {}, ...rows.map(([keys, words]) => h("div", {},
      h("dt", {}, ...keys.map((key) => h("kbd", {}, key))), h("dd", {}, words)))));
  }

  let box = null;

  /** Show the sheet, or take it away again. */
  function sheet() {
    if (box) return box.close();
    const shown = [...(lists.get(window.atelierRooms.now()) || []), ...lists.get(ALL)];
    box = h("dialog.aid.keys", { "aria-labelledby": "atelier_keys_title" },
      h("header", {}, h("h2", { id: "atelier_keys_title" }, "Keys"),
        h("button.bare", { type: "button", "aria-label": "Close", onclick: () => box.close() }, icon(ICONS.close))),
      h("div.columns", { tabindex: 0, role: "group", "aria-labelledby": "atelier_keys_title" }, ...shown.map(section)));
    box.addEventListener("close", () => { box.remove(); box = null; });
    box.addEventListener("click", (event) => { if (event.target === box) box.close(); });
    document.body.append(box);
    box.showModal();
  }

  /** Whether somebody types there, so that a letter is a letter. */
  const typing = (node) => Boolean(node.closest?.("input:not([type=range], [type=checkbox], [type=radio], [type=button]), textarea, select, [contenteditable]:not([contenteditable=false])"));

  /** Press a button of the form, where it can be seen and nothing lies over it. */
  function press(id) {
    const button = $(id);
    if (!button || button.disabled || !button.checkVisibility() || document.querySelector("dialog[open]")) return false;
    button.click();
    return true;
  }

  // A list that a field has open closes with Esc, and has done so before the key comes to the page.
  let listed = false;
  document.addEventListener("keydown", (event) => {
    listed = event.target.getAttribute?.("aria-expanded") === "true" || event.target.type === "search";
  }, { capture: true });

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.repeat) return;
    const held = event.ctrlKey || event.metaKey;
    let done = false;
    if (event.key === "Enter" && held) done = press("txt2img_generate");
    else if (event.key === "Enter" && event.altKey) done = press("txt2img_skip");
    else if (held || event.altKey) return;
    else if (event.key === "Escape" && !listed) done = press("txt2img_interrupt");
    else if (event.key === "?" && !typing(event.target)) { sheet(); done = true; }
    if (done) event.preventDefault();
  });

  window.atelierKeys = {
    sheet,
    /** The button that opens the sheet, for those who do not know its key. */
    button: () => h("button.bare.has-keys", { type: "button", "aria-label": "Keys", title: "Keys (?)", "aria-haspopup": "dialog", onclick: sheet },
      icon(KEYBOARD)),
    /** Further keys of a room: a heading, and rows of keys and what they do. */
    tell: (room, heading, rows) => lists.set(room, [...(lists.get(room) || []), [heading, rows]]),
  };
})();
