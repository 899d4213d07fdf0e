/* The words of the page in other languages. The dictionary is asked for at once, alone and only where it is needed; what
   stands is translated when it is there, and the rest where it is put. Dictionaries of extensions are merged over ours.
   What people wrote is left alone: inside translate="no", in fields, and the attributes of whatever has data-own. */
(() => {
  "use strict";
  if (window.atelierLanguage) return;
  const NAMES = { en: "English", de: "Deutsch", fr: "Français", es: "Español", ja: "日本語", zh: "简体中文" };
  const AUTOMATIC = "Automatic", KEPT = "atelier-language", BETWEEN = [" · ", ", "];
  const ATTRIBUTES = ["placeholder", "title", "aria-label", "aria-valuetext", "alt"];
  const LEFT_ALONE = '[translate="no"], textarea, pre, code, script, style';
  const LISTS = ["txt2img_styles", "atelier_experiment_chosen"];  // of names that people gave
  const PLACE = /\{(=?)(\d)\}/g;
  const own = document.currentScript;

  let kept = null;
  try { kept = JSON.parse(localStorage.getItem(KEPT)); } catch { /* a browser that keeps nothing follows its own languages */ }
  const known = (tag) => (/^zh(?!-(tw|hk|mo|hant))/i.test(tag) ? "zh" : NAMES[tag.split("-")[0].toLowerCase()] && !/^zh/i.test(tag) ? tag.split("-")[0].toLowerCase() : null);
  const coded = (word) => (NAMES[word] ? word : navigator.languages.map(known).find(Boolean) || "en");
  const now = coded(kept?.word);
  document.documentElement.lang = now === "zh" ? "zh-Hans" : now;

  /* ---- what is said instead ---- */

  let words = {};
  let patterns = [];
  const standing = new WeakMap();  // text nodes, and elements by attribute, to what stood there and what stands there now

  function merge(more) {
    words = { ...words, ...more };
    const quoted = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    patterns = Object.keys(words).filter((key) => key.search(PLACE) >= 0).map((key) => {
      const places = [...key.matchAll(PLACE)];
      const bare = key.replace(PLACE, "");
      const source = key.split(/\{=?\d\}/).map(quoted).join("([^]+?)");
      return { key, rule: new RegExp(`^${source}$`), places, length: bare.length, loose: /^\{\d\}/.test(key) };
    }).sort((a, b) => b.length - a.length);
  }

  /** The words for a text without space around it, or null. */
  function said(text) {
    if (Object.hasOwn(words, text)) return words[text];
    if (text.length > 500 || !/[A-Za-z]{2}/.test(text)) return null;
    for (const { key, rule, places, loose } of patterns) {
      const found = rule.exec(text);
      if (!found) continue;
      // A sentence that begins with a value is taken for one only where that is a number, or words of ours.
      if (loose && !/^[\d.,%×+-]/.test(found[1]) && said(found[1]) === null) continue;
      const values = new Map(places.map(([, theirs, number], at) => [number, theirs ? found[at + 1] : said(found[at + 1]) ?? found[at + 1]]));
      return words[key].replace(PLACE, (place, theirs, number) => values.get(number) ?? place);
    }
    const [, name, key] = /^(.+) (\([^()]+\))$/.exec(text) ?? [];  // a name with its key, as tool tips have it
    if (name && said(name) !== null) return `${said(name)} ${said(key.slice(1, -1)) === null ? key : `(${said(key.slice(1, -1))})`}`;
    for (const mark of BETWEEN) {
      const parts = text.split(mark);
      if (parts.length < 2) continue;
      const told = parts.map((part) => said(part) ?? (/[A-Za-z]{2}/.test(part) && mark === ", " ? null : part));
      if (told.every((part) => part !== null) && told.some((part, at) => part !== parts[at])) return told.join(mark);
    }
    return null;
  }

  function translated(text) {
    const bare = text.trim();
    const told = bare && said(bare);
    return told === null || told === "" ? null : text.replace(bare, () => told);
  }

  /** What shall stand where `text` stands; a text of ours that is already there is looked up by what it was. */
  function instead(holder, name, text) {
    const before = standing.get(holder)?.[name];
    const first = before && before.now === text ? before.first : text;
    const told = translated(first);
    if (told === null || told === text) return null;
    standing.set(holder, { ...standing.get(holder), [name]: { first, now: told } });
    return told;
  }

  function text(node) {
    if (!node.parentElement || node.parentElement.closest(LEFT_ALONE)) return;
    const told = instead(node, "", node.data);
    if (told !== null) node.data = told;
  }

  function attribute(node, name) {
    const there = node.getAttribute(name);
    if (!there || "own" in node.dataset || node.closest('[translate="no"]')) return;
    const told = instead(node, name, there);
    if (told !== null) node.setAttribute(name, told);
  }

  function whole(root) {
    if (root.nodeType === Node.TEXT_NODE) return text(root);
    if (root.nodeType !== Node.ELEMENT_NODE) return;
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) text(node);
    const among = ATTRIBUTES.map((name) => `[${name}]`).join();
    for (const node of [root, ...root.querySelectorAll(among)]) if (node.dataset) for (const name of ATTRIBUTES) attribute(node, name);
  }

  /** A list of Gradio's shows what is chosen in a field; its own state keeps the word that it knows. */
  function chosen() {
    for (const field of document.querySelectorAll('input[role="combobox"], input[role="listbox"]')) {
      if (field === document.activeElement || field.closest(LISTS.map((id) => `#${id}`).join())) continue;
      const told = Object.hasOwn(words, field.value) ? words[field.value] : null;
      if (told !== null) field.value = told;
    }
  }

  let soon = 0;
  function watch() {
    new MutationObserver((records) => {
      for (const { type, target, attributeName, addedNodes } of records) {
        if (type === "attributes") attribute(target, attributeName);
        else if (type === "characterData") text(target);
        else addedNodes.forEach(whole);
      }
      soon = soon || requestAnimationFrame(() => { soon = 0; chosen(); });
    }).observe(document.documentElement, { childList: true, subtree: true, characterData: true, attributes: true, attributeFilter: ATTRIBUTES });
    document.addEventListener("focusout", () => setTimeout(chosen));
    whole(document.documentElement);
  }

  let watching = false;
  /** Take a dictionary, over those that are there. */
  function take(more) {
    merge(more);
    if (watching) whole(document.documentElement);
    else watch();
    watching = true;
  }

  /* ---- which language ---- */

  const keep = (word, told) => localStorage.setItem(KEPT, JSON.stringify({ word, told }));
  const address = (path) => new URL(`api/v1/${path}`, document.baseURI);
  async function asked(path, options) {
    const answer = await fetch(address(path), options);
    if (!answer.ok) throw new Error(`The studio answered ${answer.status}.`);
    return answer.json();
  }

  /** What was chosen on this browser counts until the studio's setting changes; then that does. */
  async function settle() {
    const { value } = await asked("settings/localization");
    const word = kept && kept.told === value ? kept.word : value;
    kept = { word, told: value };
    keep(word, value);
    if (coded(word) !== now) location.reload();
  }

  /** Choose a language: for good where the setting is one's own, else on this browser. */
  async function choose(word) {
    if (own.dataset.api) {
      const me = await asked("session").catch(() => ({}));
      if (me.open || me.role === "user") {
        const body = JSON.stringify({ value: word });
        const row = await asked("settings/localization", { method: "PUT", body, headers: { "Content-Type": "application/json" } }).catch(() => null);
        if (row) kept = { word, told: row.value };
      }
    }
    keep(word, kept?.told ?? null);
    location.reload();
  }

  window.atelierLanguage = {
    take, NAMES, now,
    /** The select in the header. */
    raise(element) {
      const { h, icon } = window.atelierTools;
      const field = h("select", { "aria-label": "Language", title: "Language", onchange: () => choose(field.value) },
        h("option", { value: AUTOMATIC }, AUTOMATIC), ...Object.entries(NAMES).map(([code, name]) => h("option", { value: code, lang: code, translate: "no" }, name)));
      field.value = NAMES[kept?.word] ? kept.word : AUTOMATIC;
      element.querySelector(".atelier-language").append(icon("M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM3 12h18M12 3c3 3 3 15 0 18M12 3c-3 3-3 15 0 18"), field);
    },
  };
  document.addEventListener("atelier:setting", ({ detail }) => {
    if (detail !== "localization") return;
    kept = null;
    settle().catch(() => null);  // the room has said what is wrong; the page stays as it is
  });
  if (own.dataset.api) settle().catch(() => null);  // a line that is lost is told of elsewhere
  if (now !== "en") {
    const script = document.createElement("script");
    script.src = own.src.replace("language.js", `words-${now}.js`);
    document.head.append(script);
  }
})();
