/* What the parts of the page are made with: elements, drawings, fields, the clipboard, infotext. Knows no state. */
(() => {
  "use strict";
  if (window.atelierTools) return;

  /** Make an element: h("a.link", {href}, child, …). Text is set as text, never as markup. */
  function h(kind, attributes = {}, ...children) {
    const [tag, ...classes] = kind.split(".");
    const node = document.createElement(tag);
    if (classes.length) node.className = classes.join(" ");
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
      else if (value !== null && value !== undefined && value !== false) node.setAttribute(key, value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
    return node;
  }

  /** Let a video element show that film, again and again; without an address it stops and is not seen. */
  function play(video, source) {
    video.hidden = !source;
    if ((video.getAttribute("src") || "") === source) return;
    video.pause();
    if (source) {
      video.src = source;
      video.play().catch(() => null);  // a browser may leave the beginning to the person, who has the controls
    } else {
      video.removeAttribute("src");
      video.load();
    }
  }

  /** A drawing of 24 × 24 from one path, hidden from screen readers. */
  function icon(path) {
    const space = "http://www.w3.org/2000/svg";
    const drawing = document.createElementNS(space, "svg");
    drawing.setAttribute("viewBox", "0 0 24 24");
    drawing.setAttribute("aria-hidden", "true");
    drawing.setAttribute("class", "icon-line");
    const line = document.createElementNS(space, "path");
    line.setAttribute("d", path);
    drawing.append(line);
    return drawing;
  }

  const ICONS = {
    recall: "M4 9h11a5 5 0 0 1 0 10h-3M4 9l4-4M4 9l4 4",
    copy: "M9 9h10v11H9zM5 15V4h10",
    larger: "M14 4h6v6M20 4l-7 7M10 20H4v-6M4 20l7-7",
    save: "M12 4v11m0 0 4-4m-4 4-4-4M5 20h14",
    sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2m0 16v2M2 12h2m16 0h2M5 5l1.4 1.4m11.2 11.2L19 19M5 19l1.4-1.4M17.6 6.4 19 5",
    spark: "M12 3l1.8 5.2L19 10l-5.2 1.8L12 17l-1.8-5.2L5 10l5.2-1.8zM19 16v4m-2-2h4",
    left: "M15 5l-7 7 7 7",
    right: "M9 5l7 7-7 7",
    check: "M5 12.5l4.5 4.5L19 7.5",
    close: "M6 6l12 12M18 6 6 18",
    brush: "M9.5 14.5 18 5a2 2 0 0 1 3 3l-9.5 8.5M9.5 14.5l2 2M9.5 14.5C5.5 14.5 7 19.5 3 20c2 1.5 9 2 8.5-3.5",
    easel: "M12 3v3M5 6h14v10H5zM8 16l-2.5 5M16 16l2.5 5M9 13l2.2-3 1.8 2.2 1.2-1.4L16 13",
  };

  /** Set a field as if a person had typed it, so that Gradio hears of it. */
  function type(field, value) {
    const kind = field instanceof HTMLTextAreaElement ? HTMLTextAreaElement : HTMLInputElement;
    Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(field, value);
    field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  /** Bring something into sight: at once for those who want little motion. */
  function glide(node, block) {
    node.scrollIntoView({ block, behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Browsers hide the clipboard on plain http from another machine; the old way still works there.
      const field = h("textarea", { style: "position:fixed;opacity:0" });
      field.value = text;
      document.body.append(field);
      field.select();
      document.execCommand("copy");
      field.remove();
    }
  }

  /** A1111 infotext in three parts for display: prompt, negative prompt, pairs of label and value. */
  function parts(infotext) {
    const lines = (infotext || "").split("\n");
    const last = lines[lines.length - 1];
    const pairs = [];
    if (/^\s*[\w .-]+: /.test(last) && lines.length > 1 && !last.startsWith("Negative prompt:")) {
      lines.pop();
      for (const [, key, value] of last.matchAll(/\s*([\w .\-/]+):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)/g)) {
        pairs.push([key, value.startsWith('"') ? value.slice(1, -1) : value]);
      }
    }
    const cut = lines.findIndex((line) => line.startsWith("Negative prompt:"));
    const prompt = (cut < 0 ? lines : lines.slice(0, cut)).join("\n");
    const negative = cut < 0 ? "" : lines.slice(cut).join("\n").replace(/^Negative prompt:\s*/, "");
    return { prompt, negative, pairs };
  }

  window.atelierTools = { h, icon, ICONS, type, copy, parts, play, glide };
})();
