/* Sliders beside numbers and hints on buttons: what is added to fields that Gradio makes. */
(() => {
  "use strict";
  if (window.atelierSliders) return;

  const { h, type } = window.atelierTools;
  const $ = (id) => document.getElementById(id);
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

  window.atelierSliders = {
    /** The comfortable ranges by the id of their number: [low, high]. */
    give(wanted) {
      ranges = wanted;
      enhance();
    },
    /** A value was set by the studio: move the slider with it. */
    move(id, value) {
      const range = $(id)?.querySelector("input[type=range]");
      if (range && value !== null) { range.value = value; paint(range); }
    },
  };
})();
