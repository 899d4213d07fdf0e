/* What was being edited, kept by the browser over a reload: for each person their own, and nothing of it leaves here. */
(() => {
  "use strict";
  const STORE = "drafts";

  function open() {
    return new Promise((done, failed) => {
      const asked = indexedDB.open("atelier-edit", 1);
      asked.onupgradeneeded = () => asked.result.createObjectStore(STORE);
      asked.onsuccess = () => done(asked.result);
      asked.onerror = () => failed(asked.error);
    });
  }

  async function act(mode, use) {
    const database = await open();
    try {
      return await new Promise((done, failed) => {
        const line = database.transaction(STORE, mode);
        const asked = use(line.objectStore(STORE));
        line.oncomplete = () => done(asked && asked.result);
        line.onerror = line.onabort = () => failed(line.error);
      });
    } finally {
      database.close();
    }
  }

  const person = () => String(window.gradio_config?.username ?? "");
  const png = (layer) => new Promise((done) => layer.toBlob(done, "image/png"));

  window.atelierEditParts.draft = {
    png,
    /** Keep a part ("picture", "sketch", "mask", "words") of this person's draft; null takes it away. */
    keep: (part, value) => act("readwrite", (store) => (value === null ? store.delete(`${person()}/${part}`) : store.put(value, `${person()}/${part}`))),
    recall: (part) => act("readonly", (store) => store.get(`${person()}/${part}`)),
  };
})();
