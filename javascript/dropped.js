/* A picture that is dropped or pasted anywhere on the page, of whatever program: its settings go into Create, and a card
   says what was understood and what was not. Places that take pictures themselves keep what is dropped on them. */
(() => {
  "use strict";
  if (window.atelierDropped) return;
  const { h, icon, ICONS } = window.atelierTools;
  const PASTED = ["txt2img", "gallery"];   // rooms in which a picture may be pasted
  const IDLE = 400, TAKERS = "label.drop, input[type=file], .atelier-edit";
  let own = false, fading = 0, round = 0, shown = "";

  const veil = h("div.drop-veil", { hidden: "", "aria-hidden": "true" }, h("p", {}, icon(ICONS.recall), h("span", {}, "Drop the picture to use its settings")));
  const image = h("img", { alt: "" });
  const told = h("div.told", { role: "status" });
  const acts = h("div.acts");
  const close = h("button.bare", { type: "button", "aria-label": "Close", onclick: leave }, icon(ICONS.close));
  const card = h("aside.dropped", { "aria-label": "A picture from elsewhere", hidden: "" }, image, h("div.words", {}, told, acts), close);
  card.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.preventDefault(); leave(); } });
  document.addEventListener("DOMContentLoaded", () => document.body.append(veil, card));
  if (document.body) document.body.append(veil, card);

  function leave() {
    round += 1;
    card.hidden = true;
    if (shown) URL.revokeObjectURL(shown);
    shown = "";
    image.removeAttribute("src");
  }

  /** The file as a data URI. */
  function packed(file) {
    return new Promise((done, failed) => {
      const reader = new FileReader();
      reader.onload = () => done(String(reader.result));
      reader.onerror = () => failed(new Error("The browser could not read that file."));
      reader.readAsDataURL(file);
    });
  }

  const line = (label, words) => words.length > 0 && h("p.labels", {}, h("b", {}, label), ...words.flatMap((word) => [h("span", {}, word), " "]).slice(0, -1));
  const title = (text, program) => h("h2", {}, h("span", {}, text), program && h("span.program", {}, program));

  /** Read a picture and put what it says into the form of Create. */
  async function take(file) {
    leave();
    const mine = round;
    const still = file.type.startsWith("image/");
    if (still) image.src = shown = URL.createObjectURL(file);
    image.hidden = !still;
    acts.replaceChildren();
    told.replaceChildren(title("Reading the picture"));
    card.classList.remove("bad");
    card.hidden = false;
    try {
      const said = await window.atelierRooms.api("pictures/read", { method: "POST", body: { image: await packed(file) } });
      if (mine === round) tell(said);
    } catch (error) {
      if (mine !== round) return;
      card.classList.add("bad");
      told.replaceChildren(title("This file cannot be read"), h("p", {}, error.message));
    }
    if (mine !== round) return;
    const edit = still && !card.classList.contains("bad") && window.atelierEdit && document.getElementById("tab_edit-button");
    if (edit) acts.append(h("button.act", { type: "button", onclick: () => { leave(); window.atelierEdit.take(file); } }, icon(ICONS.brush), h("span", {}, "Open it in Edit")));
  }

  function tell(said) {
    const notes = said.notes.map((note) => h("p", {}, note));
    if (!said.infotext) {
      told.replaceChildren(title("This picture brings no settings", said.program), ...(notes.length ? notes : [h("p", {}, "Nothing in it says how it was made.")]));
      return;
    }
    window.atelierRooms.go("txt2img");
    window.atelier.send("recall", { infotext: said.infotext });
    told.replaceChildren(...[title("Its settings are in Create now", said.program), line("Taken over", said.understood), line("Left out", said.unknown), ...notes].filter(Boolean));
  }

  const pictured = (list) => [...list].find((one) => /^(image\/|video\/mp4)/.test(one.type));
  const taken = (event) => event.defaultPrevented || event.target.closest?.(TAKERS);
  const brings = (event) => !own && [...(event.dataTransfer?.types || [])].includes("Files");

  // A picture of the page itself that is dragged is a file to the browser, too.
  document.addEventListener("dragstart", () => { own = true; });
  document.addEventListener("dragend", () => { own = false; });
  addEventListener("dragover", (event) => {
    clearTimeout(fading);
    if (taken(event) || !brings(event)) { veil.hidden = true; return; }
    event.preventDefault();
    event.dataTransfer.dropEffect = "copy";
    veil.hidden = false;
    fading = setTimeout(() => { veil.hidden = true; }, IDLE);
  });
  addEventListener("drop", (event) => {
    veil.hidden = true;
    if (taken(event) || !brings(event)) return;
    event.preventDefault();
    const file = pictured(event.dataTransfer.files);
    if (file) take(file);
    else window.atelierDropped.refuse();
  });
  addEventListener("paste", (event) => {
    const file = pictured(event.clipboardData?.files || []);
    // A text that is copied with its picture, as some writing programs do, is meant as text.
    if (!file || event.defaultPrevented || !PASTED.includes(window.atelierRooms.now()) || event.clipboardData.getData("text/plain")) return;
    event.preventDefault();
    take(file);
  });

  window.atelierDropped = {
    take,
    /** Say that what was dropped is no picture. */
    refuse() {
      leave();
      image.hidden = true;
      card.classList.add("bad");
      acts.replaceChildren();
      told.replaceChildren(title("This is no picture"), h("p", {}, "PNG, JPEG, WebP, AVIF, GIF and MP4 files are read."));
      card.hidden = false;
    },
  };
})();
