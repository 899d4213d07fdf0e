/* A picture that the page is given, of a ControlNet unit or for its style: chosen or dropped here, made small enough for
   one call, shown beside the unit's map. */
(() => {
  "use strict";
  if (window.atelierControl) return;
  const { h } = window.atelierTools;
  const LONGEST_SIDE = 1536;
  const LONGEST_CALL = 2_500_000;

  /** A data URI of the picture in a file, its longest side at most LONGEST_SIDE: exact where that is small enough. */
  async function read(file) {
    const picture = await createImageBitmap(file);
    const scale = Math.min(1, LONGEST_SIDE / Math.max(picture.width, picture.height));
    const canvas = h("canvas", { width: Math.round(picture.width * scale), height: Math.round(picture.height * scale) });
    const pen = canvas.getContext("2d");
    pen.fillStyle = "#fff";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(picture, 0, 0, canvas.width, canvas.height);
    const exact = canvas.toDataURL("image/png");
    return exact.length <= LONGEST_CALL ? exact : canvas.toDataURL("image/jpeg", 0.92);
  }

  window.atelierControl = (element, props, watch, send) => {
    const label = props.label || "Picture of this unit";
    const field = h("input", { type: "file", accept: "image/*", "aria-label": label });
    const given = h("img", { alt: label });
    const map = h("img", { alt: "What the preprocessor makes of it" });
    const drop = h("label.drop", {}, h("span", {}, props.prompt ? `${props.prompt}: choose or drop` : "Choose or drop a picture"), field);
    const clear = h("button.act", { type: "button", onclick: () => send("clear_picture", {}) }, "Remove");
    const trouble = h("p.trouble", { role: "alert" });
    const take = async (file) => {
      trouble.textContent = "";
      try {
        if (file) send("choose", { id: await read(file) });
      } catch {
        trouble.textContent = "That file is no picture that this browser can read.";
      }
      field.value = "";
    };
    field.addEventListener("change", () => take(field.files[0]));
    drop.addEventListener("dragover", (event) => event.preventDefault());
    drop.addEventListener("drop", (event) => {
      event.preventDefault();
      take(event.dataTransfer.files[0]);
    });
    element.querySelector(".atelier-control").append(drop, h("div.pair", {}, given, map), clear, trouble);
    const draw = () => {
      const value = props.value || {};
      for (const [place, source] of [[given, value.picture], [map, value.map]]) {
        place.hidden = !source;
        if (source) place.src = source;
      }
      clear.hidden = !value.picture;
    };
    watch("value", draw);
    draw();
  };
})();
