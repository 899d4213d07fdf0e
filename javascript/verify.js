/* Draws the chosen picture again from its recipe and says whether it comes out the same. `studio.js` asks for the button
   when it shows a picture's details. A page of a studio without the API does not load this file. */
(() => {
  "use strict";
  const WORDS = { idle: "Verify", busy: "Drawing it again", same: "The same again", differs: "Not the same" };

  /** One line for a person: how far off, and what has changed since. */
  function sentence(verdict) {
    const off = Math.max(verdict.alone.largest, verdict.company.largest);
    const changed = verdict.changes.map((change) => `${change.part} was ${change.then}, is ${change.now}`);
    const far = verdict.same ? `At most ${off} of 255 off, alone and in company.` : `Up to ${off} of 255 off.`;
    return changed.length ? `${far} Changed since: ${changed.join("; ")}.` : far;
  }

  /** A button and the line under it. `h` and `icon` are those of the page. */
  window.atelierVerify = (picture, h, icon) => {
    const label = h("span", {}, WORDS.idle);
    const said = h("p.verdict", { role: "status", hidden: true });
    const say = (text) => { said.textContent = text; said.hidden = false; };
    const button = h("button.act.verify", { type: "button", title: "Draw it again and compare", onclick: async () => {
      button.disabled = true;
      label.textContent = WORDS.busy;
      try {
        const place = new URL(`api/v1/pictures/${picture.id}/verify`, document.baseURI);
        const answer = await fetch(place, { method: "POST" });
        const told = await answer.json();
        label.textContent = !answer.ok ? WORDS.idle : told.same ? WORDS.same : WORDS.differs;
        say(answer.ok ? sentence(told) : String(told.detail));
      } catch {
        label.textContent = WORDS.idle;
        say("The studio does not answer.");
      }
      button.disabled = false;
    } }, icon("M5 12l5 5L20 7"), label);
    return { button, said };
  };
})();
