/* A zip file that an admin gives to the page: read here and sent in pieces, each small enough for one call. The next one
   goes when the studio has said that it has the last. */
(() => {
  "use strict";
  if (window.atelierArchive) return;
  const { h } = window.atelierTools;
  const PIECE = 2_000_000;

  /** The bytes of a part of a file, in base64. */
  function read(part) {
    return new Promise((done, failed) => {
      const reader = new FileReader();
      reader.onload = () => done(String(reader.result).split(",", 2)[1] || "");
      reader.onerror = () => failed(reader.error);
      reader.readAsDataURL(part);
    });
  }

  window.atelierArchive = (element, props, watch, send) => {
    const field = h("input", { type: "file", accept: ".zip,application/zip", "aria-label": "Zip file of an extension" });
    const said = h("span", {}, "");
    const drop = h("label.drop", {}, said, field);
    const clear = h("button.act", { type: "button" }, "Remove the zip file");
    const trouble = h("p.trouble", { role: "alert" });
    let coming = null;
    let shown = "";
    const count = () => Math.max(1, Math.ceil(coming.file.size / PIECE));
    const next = async (number) => {
      try {
        const part = await read(coming.file.slice(number * PIECE, (number + 1) * PIECE));
        send("piece", { id: [coming.token, number, count(), part].join(" ") });
      } catch {
        coming = null;
        trouble.textContent = "That file cannot be read.";
      }
    };
    field.addEventListener("change", () => {
      const file = field.files[0];
      field.value = "";
      trouble.textContent = "";
      if (!file) return;
      coming = { file, token: Math.random().toString(36).slice(2) };
      next(0);
    });
    clear.addEventListener("click", () => {
      coming = null;
      send("clear_archive", {});
    });
    const draw = () => {
      const value = props.value || {};
      if (coming && !value.token && shown === coming.token) coming = null;
      shown = value.token;
      const whole = value.count > 0 && value.got === value.count;
      if (coming && value.token === coming.token && !whole) next(value.got);
      const name = coming ? coming.file.name : "A zip file";
      said.textContent = whole ? `${name} is here` : coming ? `${name}: ${value.got || 0} of ${count()}` : "Or choose a zip file";
      clear.hidden = !value.count;
    };
    element.querySelector(".atelier-archive").append(drop, clear, trouble);
    watch("value", draw);
    draw();
  };
})();
