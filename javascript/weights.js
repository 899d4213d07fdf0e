/* Weights of words in a prompt by key, as A1111 has them: Ctrl and up or down change what is selected by a tenth, of a
   network's tag by a twentieth. Without a selection it is the brackets or the tag around the cursor, or the word there. */
(() => {
  "use strict";
  if (window.atelierWeights) return;
  const FIELDS = ":is(#txt2img_prompt, #txt2img_neg_prompt, #txt2img_detailer_prompt, #txt2img_detailer_negative) textarea";
  const STEP = 0.1;
  const STEP_OF_TAGS = 0.05;
  const BETWEEN_WORDS = /[\s.,\\/!?%^*;:{}=`~()[\]<>|"]/;
  const EACH_BRACKET = 1.1;

  const escaped = (text, at) => text[at - 1] === "\\";

  /** Where the innermost brackets around a place begin and end: inside of them, without what follows a last colon. */
  function around(text, at, open, close) {
    let from = at, to = at, depth = 0;
    for (from = at - 1; from >= 0; from -= 1) {
      if (escaped(text, from)) continue;
      if (text[from] === close) depth += 1;
      else if (text[from] === open && depth-- === 0) break;
    }
    if (from < 0) return null;
    for (depth = 0; to < text.length; to += 1) {
      if (escaped(text, to)) continue;
      if (text[to] === open) depth += 1;
      else if (text[to] === close && depth-- === 0) break;
    }
    if (to >= text.length) return null;
    const colon = text.slice(from + 1, to).lastIndexOf(":");
    return [from + 1, colon < 0 ? to : from + 1 + colon];
  }

  function word(text, at) {
    let from = at, to = at;
    while (from > 0 && !BETWEEN_WORDS.test(text[from - 1])) from -= 1;
    while (to < text.length && !BETWEEN_WORDS.test(text[to])) to += 1;
    return from < to ? [from, to] : null;
  }

  /** What is meant where nothing is selected. Square brackets with a colon or a bar say when, and not how much. */
  function meant(text, at) {
    const tag = around(text, at, "<", ">");
    if (tag) return tag;
    const round = around(text, at, "(", ")");
    if (round) return round;
    const square = around(text, at, "[", "]");
    return square && text[square[1]] === "]" && !text.slice(...square).includes("|") ? square : word(text, at);
  }

  /** A weight as A1111 writes it: without what floating point adds, and with a point if it is one digit. */
  function written(weight) {
    const words = String(Number(weight.toPrecision(12)));
    return words.length === 1 ? `${words}.0` : words;
  }

  /** The change: what stands from `from` to `to` becomes `words`, and the selection begins `skip` into it. Null when
      there is nothing to weigh. */
  function change(text, from, to, up) {
    if (from === to) {
      const found = meant(text, from);
      if (!found) return null;
      [from, to] = found;
    }
    const before = text[from - 1];
    const tag = before === "<";
    const number = tag ? /^:\s*(-?[\d.]+)\s*>/.exec(text.slice(to)) : before === "(" ? /^:\s*(-?[\d.]+)\s*\)/.exec(text.slice(to)) : null;
    if (tag && !number) return null;
    const by = (tag ? STEP_OF_TAGS : STEP) * (up ? 1 : -1);
    if (number) {
      const words = text.slice(from, to);
      const weight = Number((Number(number[1]) + by).toPrecision(12));
      if (Number.isNaN(weight)) return null;
      if (tag) return { from, to: to + number[0].length - 1, words: `${words}:${written(weight)}`, skip: 0, length: words.length };
      const end = to + number[0].length;
      return weight === 1 ? { from: from - 1, to: end, words, skip: 0, length: words.length }
        : { from: from - 1, to: end, words: `(${words}:${written(weight)})`, skip: 1, length: words.length };
    }
    let layers = 0;
    const [open, close] = before === "[" ? ["[", "]"] : ["(", ")"];
    while (text[from - layers - 1] === open && text[to + layers] === close && !escaped(text, from - layers - 1)) layers += 1;
    if (!layers) while (to > from && text[to - 1] === " ") to -= 1;
    if (from === to) return null;
    const now = Math.round((EACH_BRACKET ** layers) ** (open === "[" ? -1 : 1) / STEP) * STEP;
    const words = text.slice(from, to);
    const weight = Number((now + by).toPrecision(12));
    const inside = weight === 1 ? words : `(${words}:${written(weight)})`;
    return { from: from - layers, to: to + layers, words: inside, skip: weight === 1 ? 0 : 1, length: words.length };
  }

  /** Put words into a field so that its own undo knows of them, and select a part of them. */
  function put(field, { from, to, words, skip = words.length, length = 0 }) {
    field.focus();
    field.setSelectionRange(from, to);
    if (!document.execCommand("insertText", false, words)) {
      window.atelierTools.type(field, field.value.slice(0, from) + words + field.value.slice(to));
    }
    field.setSelectionRange(from + skip, from + skip + length);
  }

  document.addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey || event.defaultPrevented) return;
    if (!["ArrowUp", "ArrowDown"].includes(event.key) || !event.target.matches?.(FIELDS)) return;
    event.preventDefault();
    const made = change(event.target.value, event.target.selectionStart, event.target.selectionEnd, event.key === "ArrowUp");
    if (made) put(event.target, made);
  });

  window.atelierWeights = { FIELDS, change, put };
})();
