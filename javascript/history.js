/* The prompts that were drawn from before, by key: Alt and up or down while writing one. The list stays in this browser,
   one for each person and each of the two prompts. */
(() => {
  "use strict";
  if (window.atelierHistory) return;
  const KEPT = "atelier-prompts";
  const MOST = 100;
  const PROMPTS = ["txt2img_prompt", "txt2img_neg_prompt"];
  const walks = new Map();  // id of a prompt to where its reader is: place in the list, what stood there first, what was shown

  const field = (id) => document.querySelector(`#${id} textarea`);
  const place = (id) => `${KEPT}:${window.gradio_config?.username ?? ""}:${id}`;
  const read = (id) => JSON.parse(localStorage.getItem(place(id)) ?? "[]");

  /** Keep a list; where the browser has no room for all of it, the oldest go. */
  function keep(id, list) {
    for (let most = Math.min(list.length, MOST); most > 0; most = Math.floor(most / 2)) {
      try {
        return localStorage.setItem(place(id), JSON.stringify(list.slice(0, most)));
      } catch (error) {
        if (error.name !== "QuotaExceededError") throw error;
      }
    }
    return undefined;
  }

  function remember() {
    for (const id of PROMPTS) {
      const text = field(id)?.value.trim();
      if (text) keep(id, [text, ...read(id).filter((one) => one !== text)]);
      walks.delete(id);
    }
  }

  function walk(id, by) {
    const now = field(id).value;
    const list = read(id);
    let step = walks.get(id);
    if (!step || step.shown !== now) step = { at: -1, draft: now, shown: now };
    let at = step.at + by;
    while (list[at] !== undefined && list[at] === now) at += by;
    if (at < -1 || at >= list.length) return;
    const shown = at < 0 ? step.draft : list[at];
    walks.set(id, { ...step, at, shown });
    window.atelierTools.type(field(id), shown);
    field(id).setSelectionRange(shown.length, shown.length);
  }

  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#txt2img_generate")) remember();
  }, { capture: true });

  document.addEventListener("keydown", (event) => {
    const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (!by || !event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.defaultPrevented) return;
    const id = PROMPTS.find((one) => event.target === field(one));
    if (!id) return;
    event.preventDefault();
    walk(id, by);
  });

  window.atelierHistory = { walk };
})();
