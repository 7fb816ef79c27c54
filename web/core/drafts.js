/** What is marked on an image and not answered yet, over a reload and while an earlier image is corrected. */

export class Drafts {
  #prefix;

  constructor(user, project) {
    this.#prefix = `loupe:draft:${user.id}:${project}:`;
  }

  /** @returns {object | null} */
  read(key) {
    return JSON.parse(sessionStorage.getItem(this.#prefix + key) ?? "null");
  }

  write(key, draft) {
    try {
      sessionStorage.setItem(this.#prefix + key, JSON.stringify(draft));
    } catch (error) {
      // Storage is full or forbidden: the draft is on screen all the same, and only a reload would lose it.
      if (!(error instanceof DOMException)) throw error;
    }
  }

  forget(key) {
    sessionStorage.removeItem(this.#prefix + key);
  }
}
