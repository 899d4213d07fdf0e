/* The room System: what draws, and why that; memory as it moves; models in memory; jobs; versions; and for admins the log
   and the doctor. Figures are asked for while the room is in sight, and at no other time. */
(() => {
  "use strict";
  const { h, icon, ICONS } = window.atelierTools;
  const { button, span, bytes, ask, attempt, who, presence, DRAWINGS } = window.atelierKit;
  const OFTEN = 2000;
  const STATES = { running: "Running", queued: "Waiting", done: "Done", failed: "Failed", cancelled: "Stopped" };
  const PLACES = { denoiser: "Denoiser", text_encoder: "Text encoders", vae: "VAE" };
  const CHIP = "M7 7h10v10H7zM10 3v4m4-4v4m-4 10v4m4-4v4M3 10h4m-4 4h4m10-4h4m-4 4h4";

  const pairs = (rows) => rows.map(([word, value]) => h("div", {}, h("dt", {}, word), h("dd", {}, value)));
  const card = (title, ...inside) => h("section.card.kit-card", { "aria-label": title }, h("h3", {}, title), ...inside);
  const word = (key) => PLACES[key] || key.charAt(0).toUpperCase() + key.slice(1).replaceAll("_", " ");

  async function build(element, room) {
    const me = await who(room);
    const admin = me.role === "admin";
    let timer = 0, asking = false, lost = false, device = null;

    /* ---- the frame ---- */
    const dot = h("span.dot", { "aria-hidden": "true" });
    const summary = h("h2.kit-summary", { role: "status" });
    const since = h("p.since");
    const memory = window.atelierChart("Memory of this machine", [{ key: "machine", label: "In use by all" }, { key: "process", label: "By the studio", filled: true }], bytes);
    const graphics = window.atelierChart("Memory of the device", [{ key: "used", label: "In use", filled: true }, { key: "tensors", label: "By models and pictures" }], bytes);
    const charts = h("section.card.kit-card.charts", { "aria-label": "Memory" }, memory.node);

    const draws = h("p.device");
    const driver = h("p.driver");
    const reasons = h("ul.reasons");
    const placed = h("dl.pairs");
    const hardware = card("What draws", draws, driver, reasons, placed);

    const resident = h("ul.resident");
    const none = h("p.kit-nothing", { hidden: "" }, "No model is in memory; the next job loads one.");
    const unload = button("Free their memory", "bin", async () => {
      const sentence = "Let go of all models in memory? A job that runs keeps its own until it ends, and the next one has to load.";
      if (await ask(sentence, "Free it")) press(unload, "unload-checkpoint", "The memory is free again.");
    });
    const load = button("Load the current model", "play", () => press(load, "reload-checkpoint", "The model is in memory."));
    const models = card("Models in memory", resident, none, h("div.kit-acts", {}, load, unload));

    const tally = h("dl.tally");
    const lanes = h("ol.lanes", { "aria-label": "Jobs that run" });
    const pace = h("dl.pairs");
    const queue = document.getElementById("tab_queue-button") ? h("a.kit-button", { href: "#queue" }, icon(DRAWINGS.out), h("span", {}, "To the queue")) : null;
    const jobs = card("Jobs", tally, lanes, pace, queue ? h("div.kit-acts", {}, queue) : null);

    const versions = h("dl.pairs");
    const made = card("Versions", versions);

    const log = admin ? window.atelierLog(room) : null;
    const doctor = admin ? examination() : null;
    const about = admin ? null : h("p.kit-note", {}, icon(DRAWINGS.wrong), h("span", {}, "Admins see more here: the device, models in memory, versions and the log."));
    element.append(h("header.kit-head", {}, h("div.state", {}, dot, summary), since), about ?? "",
      h("div.boards", {}, h("div", {}, charts, admin ? hardware : null), h("div", {}, jobs, ...(admin ? [models, made] : []))), doctor ?? "", log?.node ?? "");

    /* ---- what is pressed ---- */
    async function press(pressed, path, well) {
      pressed.disabled = true;
      await attempt(room, () => room.api(`../../sdapi/v1/${path}`, { method: "POST" }), well);
      pressed.disabled = false;
      renew();
    }

    function examination() {
      const found = h("div.found", { role: "status" });
      const look = button("Examine this machine", ICONS.check, async () => {
        look.disabled = true;
        look.lastChild.textContent = "Looking";
        const report = await attempt(room, () => room.api("doctor"));
        look.disabled = false;
        look.lastChild.textContent = "Examine again";
        if (report) found.replaceChildren(...findings(report));
      });
      const words = "Looks at hardware, versions, memory and disk, and says what is missing and how to get it.";
      return h("section.wide.doctor", { "aria-label": "Doctor" }, h("header.kit-head", {}, h("h3", {}, "Doctor"), h("div.kit-acts", {}, look)), h("p.hint", {}, words), found);
    }

    function findings({ checks, findings }) {
      const missing = findings.map(({ what, how }) => h("li", {}, icon(DRAWINGS.wrong), h("div", {}, h("p", {}, what), h("p.how", {}, h("code", {}, how)))));
      const verdict = missing.length ? h("ul.missing", {}, ...missing) : h("p.well", {}, icon(ICONS.check), h("span", {}, "Nothing is missing."));
      return [verdict, h("dl.pairs.kit-card", {}, ...pairs(checks.map(({ what, says }, at) => [at && checks[at - 1].what === what ? "" : what, says])))];
    }

    /* ---- what is told ---- */
    function drawState(health, status) {
      dot.className = `dot ${health.ready ? "good" : health.phase === "ready" || health.phase === "failed" ? "bad" : "busy"}`;
      summary.textContent = health.ready ? "Ready to draw" : health.message;
      since.textContent = status ? `Up for ${span(status.up_seconds)}` : "";
    }

    function drawMemory({ ram, cuda }) {
      memory.add({ process: ram.used, machine: ram.total - ram.free }, ram.total);
      if (!cuda?.system) return;
      if (!graphics.node.isConnected) charts.append(graphics.node);
      graphics.add({ used: cuda.system.used, tensors: cuda.allocated?.current ?? 0 }, cuda.system.total);
    }

    function drawQueue(order, status) {
      const rows = status ? Object.entries(status.jobs).map(([state, count]) => [STATES[state] || state, count]) : [["Yours", order.mine], ["Of all", order.all], ["At a time", order.lanes]];
      tally.replaceChildren(...rows.map(([name, count]) => h("div", {}, h("dd", {}, count.toLocaleString()), h("dt", {}, name))));
      const busy = (status?.lanes ?? []).filter((lane) => lane.job_id);
      lanes.hidden = !busy.length;
      lanes.replaceChildren(...busy.map((lane) => {
        const share = Math.round(lane.progress * 100);
        const bar = h("div.bar", { role: "progressbar", "aria-label": `Job of ${lane.owner}`, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": share }, h("i", { style: `width: ${share}%` }));
        return h("li", {}, h("p", {}, h("span", { translate: "no" }, lane.owner), lane.model ? h("span", { translate: "no" }, lane.model) : h("span", {}, "The usual model"), h("span", {}, span(lane.seconds))), bar);
      }));
      const told = [["Queue", order.paused ? "paused" : "goes on"]];
      if (status) {
        const { jobs_per_minute: minute, seconds_per_step: step, samples_per_forward: merged } = status.speeds;
        told.push(["Jobs in the last minute", String(Math.round(minute))]);
        if (step) told.push(["A step", `${Math.round(step * 1000)} ms`]);
        if (merged) told.push(["Samples in a forward", merged.toLocaleString([], { maximumFractionDigits: 1 })]);
      }
      pace.replaceChildren(...pairs(told));
    }

    function drawModels(status) {
      resident.replaceChildren(...status.models.map((name) => h("li", {}, icon(CHIP), h("span", { translate: "no" }, name))));
      none.hidden = status.models.length > 0;
      unload.hidden = !status.models.length;
      load.hidden = status.models.length > 0;
      versions.replaceChildren(...pairs(Object.entries(status.versions)));
    }

    function drawDevice() {
      draws.textContent = device.name ?? "Not chosen yet; the studio is still starting.";
      driver.textContent = device.name ? [device.label, device.driver].filter(Boolean).join(" · ") : "";
      driver.hidden = !driver.textContent || driver.textContent === device.name;
      reasons.replaceChildren(...(device.reasons ?? []).map((reason) => h("li", {}, reason)));
      placed.replaceChildren(...pairs(Object.entries(device.placements ?? {}).map(([part, place]) => [word(part), `${place.device}, ${place.dtype}`])));
    }

    async function renew() {
      if (asking) return;
      asking = true;
      try {
        const [health, figures, order, status, inside] = await Promise.all([
          room.api("../../healthz"), room.api("../../sdapi/v1/memory"), room.api("queue"),
          admin ? room.api("status") : null, admin && !device?.name ? room.api("../../internal/sysinfo") : null, log?.renew(),
        ]);
        if (inside) { device = inside.device; drawDevice(); }
        drawState(health, status);
        drawMemory(figures);
        drawQueue(order, status);
        if (status) drawModels(status);
        if (lost) { lost = false; room.say(""); }
      } catch (error) {
        lost = true;
        room.say(error.message, true);
      } finally {
        asking = false;
      }
    }
    presence("system", () => { clearInterval(timer); timer = setInterval(renew, OFTEN); renew(); }, () => clearInterval(timer));
  }

  window.atelierRooms.add("system", build);
})();
