/* Brings what extensions have for the page, and the functions that scripts written for A1111's page call. Scripts are
   carried out in the order of the extensions; one that fails is named in the console and keeps nobody else. */
(() => {
  "use strict";
  if (window.gradioApp) return;
  const SETTLED = 200;
  const heard = { loaded: [], update: [], settled: [], tab: [], options: [] };
  let standing = false;
  let later = 0;

  /** Which extension's file is being carried out. */
  function who() {
    return document.currentScript?.dataset.extension ?? "a script";
  }

  function call(entry, given) {
    try {
      entry.act(given);
    } catch (error) {
      console.error(`The extension ${entry.who} failed on the page:`, error);
    }
  }

  function listen(kind) {
    return (act) => {
      const entry = { act, who: who() };
      heard[kind].push(entry);
      if (kind === "loaded" && standing) call(entry);
    };
  }

  window.gradioApp = () => document;
  window.onUiLoaded = listen("loaded");
  window.onUiUpdate = listen("update");
  window.onAfterUiUpdate = listen("settled");
  window.onUiTabChange = listen("tab");
  window.onOptionsChanged = listen("options");
  window.opts = window.opts ?? {};
  window.get_uiCurrentTabContent = () => document.getElementById(`tab_${window.atelierRooms.now()}`);
  window.get_uiCurrentTab = () => document.getElementById(`tab_${window.atelierRooms.now()}-button`);
  document.addEventListener("atelier:room", () => { for (const entry of heard.tab) call(entry); });
  window.updateInput = (field) => field.dispatchEvent(new Event("input", { bubbles: true }));

  function changed(records) {
    for (const entry of heard.update) call(entry, records);
    clearTimeout(later);
    later = setTimeout(() => { for (const entry of heard.settled) call(entry); }, SETTLED);
  }

  function address(file) {
    const path = file.path.split("/").map(encodeURIComponent).join("/");
    const place = `studio/extensions/${encodeURIComponent(file.extension)}/${path}?v=${file.mark}`;
    return new URL(place, document.baseURI).href;
  }

  function bring(file) {
    const node = document.createElement(file.kind === "style" ? "link" : "script");
    node.dataset.extension = file.extension;
    if (file.kind === "style") Object.assign(node, { rel: "stylesheet", href: address(file) });
    else Object.assign(node, { src: address(file), async: false });
    return new Promise((done) => {
      node.onload = done;
      node.onerror = () => {
        console.error(`The extension ${file.extension} could not bring ${file.path}.`);
        done();
      };
      document.head.append(node);
    });
  }

  /** The dictionary for the page's language, or else the first of the visitor's that any extension speaks. */
  async function dictionary(files) {
    for (const wanted of [window.atelierLanguage.now, ...navigator.languages.map((one) => one.toLowerCase())]) {
      const fitting = files.filter((file) => [wanted, wanted.split("-")[0]].includes(file.language));
      if (!fitting.length) continue;
      const parts = await Promise.all(fitting.map(async (file) => (await fetch(address(file))).json()));
      return Object.assign({}, ...parts);
    }
    return null;
  }

  function stands() {
    return document.querySelector("#txt2img_prompt textarea");
  }

  async function standingPage() {
    while (!stands()) await new Promise((done) => setTimeout(done, 50));
  }

  async function begin() {
    const answer = await fetch(new URL("studio/extensions", document.baseURI));
    if (!answer.ok) return;
    const files = await answer.json();
    if (!files.length) return;
    const brought = Promise.all(files.filter((file) => file.kind !== "words").map(bring));
    const words = await dictionary(files.filter((file) => file.kind === "words"));
    await brought;
    await standingPage();
    standing = true;
    for (const entry of heard.loaded) call(entry);
    if (words) window.atelierLanguage.take(words);
    new MutationObserver(changed).observe(document.body, { childList: true, subtree: true });
    changed([]);
  }

  begin().catch((error) => console.error("What extensions bring to the page could not be fetched:", error));
})();
