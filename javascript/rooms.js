/* The rooms of the page: which one is open, their addresses (#gallery), and what they are built with. The script of a
   room is fetched when the room is first opened; it calls `atelierRooms.add(NAME, build)`, and `build(element, room)`
   is called once. `build` may answer with an object whose `opened` is called whenever the room is opened again. */
(() => {
  "use strict";
  if (window.atelierRooms) return;
  const FIRST = "txt2img";
  const places = new Map();   // name to the element and the files of a room
  const builders = new Map();
  const built = new Map();
  const brought = new Map();
  let open = FIRST;

  /** Fetch a file, once for all rooms that need it. */
  function bring(file) {
    const address = new URL(file, document.baseURI).href;
    if (!brought.has(address)) brought.set(address, fetched(address, file));
    return brought.get(address);
  }

  function fetched(address, file) {
    const style = /\.css(\?|$)/.test(file);
    const node = document.createElement(style ? "link" : "script");
    Object.assign(node, style ? { rel: "stylesheet", href: address } : { src: address, async: false });
    return new Promise((done, failed) => {
      node.onload = done;
      node.onerror = () => { node.remove(); brought.delete(address); failed(new Error("A part of this room could not be fetched.")); };
      document.head.append(node);
    });
  }

  async function enter(name) {
    const place = places.get(name);
    if (!place) return;
    if (built.has(name)) return (await built.get(name))?.opened?.();
    const building = (async () => {
      await Promise.all(place.files.map(bring));
      return builders.get(name)(place.element, { api, say: (sentence, bad) => say(place.element, sentence, bad) });
    })();
    built.set(name, building);
    try {
      await building;
    } catch (error) {
      built.delete(name);
      say(place.element, error.message, true);
    }
  }

  /** One sentence at the top of a room, for screen readers too; nothing takes it away again. */
  function say(element, sentence, bad = false) {
    let line = element.querySelector(":scope > .said");
    if (!line) {
      line = window.atelierTools.h("p.said");
      element.prepend(line);
    }
    line.setAttribute("role", bad ? "alert" : "status");
    line.classList.toggle("bad", bad);
    line.hidden = !sentence;
    line.textContent = sentence || "";
  }

  /** An answer of the API below /api/v1, as JSON. Throws an Error with the studio's own sentence. */
  async function api(path, { method = "GET", body, signal } = {}) {
    const sent = body === undefined ? {} : { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
    let answer;
    try {
      answer = await fetch(new URL(`api/v1/${path}`, document.baseURI), { method, signal, ...sent });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("The studio does not answer.");
    }
    const told = answer.status === 204 ? null : await answer.json().catch(() => null);
    if (answer.ok) return told;
    const detail = told && told.detail;
    throw new Error(Array.isArray(detail) ? detail.map((one) => one.msg).join(" ") : detail || `The studio answered ${answer.status}.`);
  }

  const button = (name) => document.getElementById(`tab_${name}-button`);
  /** The room that the address names; none for what is no address of ours. */
  function named() {
    try { return decodeURIComponent(location.hash.slice(1)).split("/")[0]; } catch { return ""; }
  }

  /** Go to a room as if its tab had been pressed. */
  function go(name) {
    const tab = button(name);
    if (tab && open !== name) tab.click();
    return Boolean(tab);
  }

  /** Gradio says that a tab was chosen. */
  function opened(name) {
    if (wanted && name === FIRST) return;  // Gradio opens its first tab before the one of the address
    wanted = "";
    open = name;
    document.body.dataset.room = name;
    button(name)?.scrollIntoView({ block: "nearest", inline: "nearest" });
    if (named() !== name && (named() || name !== FIRST)) history.pushState(null, "", name === FIRST ? location.pathname + location.search : `#${name}`);
    document.dispatchEvent(new CustomEvent("atelier:room", { detail: name }));
    enter(name);
  }

  addEventListener("popstate", () => go(named() || FIRST));
  document.body.dataset.room = FIRST;
  // The bar of tabs stands a moment later than the page; a name that none of its tabs has is given up soon after.
  let wanted = named() === FIRST ? "" : named();
  let looks = 0;
  const wait = setInterval(() => {
    if (button(FIRST) && !button(wanted) && ++looks > 30) wanted = "";
    if (wanted) go(wanted); else clearInterval(wait);
  }, 30);

  window.atelierRooms = {
    api, go, open: opened,
    add: (name, build) => builders.set(name, build),
    /** Gradio has put the shell of a room into the page. */
    place(name, element, given) {
      places.set(name, { element, files: given.files });
      // What is inside a tab is put there when the tab is first chosen, and Gradio may not listen yet when that was.
      if (open === name) enter(name);
      else if (wanted === name) opened(name);
    },
    /** The name of the room that is open. */
    now: () => open,
  };
})();
