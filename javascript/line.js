/* The line between page and studio: noticed when it is lost, and opened again when an answer might hang in it.
   `studio.js` asks for it once its stage stands. */
(() => {
  "use strict";
  const SILENCE = 7000;
  const AFTER_A_CLICK = 1500;

  /** While a job runs the studio speaks every two seconds. Silence means a lost line: try until it is back, then look
      at the job again. The form and the job are untouched by all this. */
  function keepInTouch(state, busy, redraw, send) {
    setInterval(async () => {
      if (!busy() || Date.now() - state.heard < SILENCE) return;
      state.lost = true;
      redraw();
      try {
        const answer = await fetch(new URL("studio/logo.svg", document.baseURI), { method: "GET", cache: "no-store" });
        if (!answer.ok) return;
        state.heard = Date.now();
        send("attach", {});
      } catch {
        // Still away; the next round tries again.
      }
    }, 2000);
  }

  /** Answers come over a stream that Gradio closes after the last of them. A question asked in that very instant is
      answered on the next stream, which nobody opens until something else is asked. So each click is followed up. */
  function keepListening(send) {
    let later = 0;
    document.addEventListener("click", () => {
      clearTimeout(later);
      later = setTimeout(() => send("ping", {}), AFTER_A_CLICK);
    }, { capture: true });
  }

  window.atelierLine = (state, busy, redraw, send) => {
    keepInTouch(state, busy, redraw, send);
    keepListening(send);
  };
})();
