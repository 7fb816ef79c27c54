/** The portal's API, relative to where this page is served. */

import { SignedOut, Unreachable } from "./session.js";

export const BASE = new URL("../", import.meta.url);
const TIMEOUT_MS = 30_000;
/** Browsers refuse to keep larger bodies alive. */
const MOST_KEPT_ALIVE = 60_000;

/** The server said no, and why: `slug` is the end of the problem's type, "" when it gave none. */
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail ?? document.title ?? document.message ?? `The server answered ${status}.`);
    this.status = status;
    this.slug = String(document.type ?? "").split(/[:/]/).at(-1);
  }
}

/** Whether this is one of the failures that a call tells of, and not a fault of the page. */
export function isExpected(error) {
  return error instanceof Problem || error instanceof SignedOut || error instanceof Unreachable;
}

/**
 * What the page needs to know before anybody signs in.
 * @throws {Unreachable}
 */
export async function loadConfig() {
  try {
    const response = await fetch(new URL("config.json", BASE), { signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (response.ok) return await response.json();
    throw new Unreachable(`config.json: ${response.status}`);
  } catch (error) {
    throw error instanceof Unreachable ? error : new Unreachable("config.json", { cause: error });
  }
}

/** Every call throws Problem, SignedOut or Unreachable, and nothing else. */
export class PortalApi {
  #session;
  #clockOffsetMs = 0;

  constructor(session) {
    this.#session = session;
  }

  /** The server's clock, in milliseconds since 1970: lease ends are told in its time. */
  now() {
    return Date.now() + this.#clockOffsetMs;
  }

  async projects() {
    return (await this.#call("GET", "api/projects")).projects;
  }

  lease(project, count) {
    return this.#call("POST", `api/projects/${encodeURIComponent(project)}/leases`, { count });
  }

  annotate({ project, job, task }, body) {
    const path = [project, "jobs", job, "tasks", task, "annotation"].map(encodeURIComponent).join("/");
    return this.#call("PUT", `api/projects/${path}`, body);
  }

  /** What the project's model says of a task's image, in the form of an answer, with its model_version. */
  suggestion(project, { job, task }) {
    const path = [project, "jobs", job, "tasks", task, "suggestion"].map(encodeURIComponent).join("/");
    return this.#call("GET", `api/projects/${path}`);
  }

  /** Gives back every task that this worker holds. Works while the page is being closed. */
  release(project) {
    return this.#call("DELETE", `api/projects/${encodeURIComponent(project)}/leases`);
  }

  // Predictions

  /** The champion's answer to a JPEG or PNG. */
  predict(project, image) {
    return this.#call("POST", `api/projects/${encodeURIComponent(project)}/predictions`, image);
  }

  // Jobs

  /** What waits, what is worked on, what failed and why. */
  jobs(project) {
    return this.#call("GET", `api/projects/${encodeURIComponent(project)}/jobs`);
  }

  /** @param {string | null} after an earlier page's `next` */
  rejected(project, after) {
    const query = after === null ? "" : `?${new URLSearchParams({ after })}`;
    return this.#call("GET", `api/projects/${encodeURIComponent(project)}/jobs/rejected${query}`);
  }

  /** @param {"labeling" | "training" | "reconciliation"} what */
  requestJob(project, what) {
    return this.#call("POST", `api/projects/${encodeURIComponent(project)}/jobs/${what}`);
  }

  // Workers

  /** What each worker did. */
  workers(project) {
    return this.#call("GET", `api/projects/${encodeURIComponent(project)}/workers`);
  }

  // Models

  models(project) {
    return this.#call("GET", `api/projects/${encodeURIComponent(project)}/models`);
  }

  model(project, version) {
    return this.#call("GET", `api/projects/${[project, "models", version].map(encodeURIComponent).join("/")}`);
  }

  /**
   * Decides of a model; saying it again changes nothing.
   * @param {"approve" | "reject" | "rollback"} choice
   * @returns {Promise<{state: string, version: string, told: string}>} `told` in words
   */
  decide(project, version, choice) {
    const path = ["api/projects", ...[project, "models", version, choice === "rollback" ? choice : "approval"].map(encodeURIComponent)].join("/");
    return this.#call("POST", path, choice === "rollback" ? undefined : { decision: choice });
  }

  /** Lets better models be promoted by themselves again. */
  resumePromotion(project) {
    return this.#call("POST", `api/projects/${encodeURIComponent(project)}/models/resume`);
  }

  /** Which labels a model mixes up, and precision and recall over the threshold. */
  judgements(project, version) {
    const path = [project, "models", version, "judgements"].map(encodeURIComponent).join("/");
    return this.#call("GET", `api/projects/${path}`);
  }

  /**
   * Test images behind a cell of the confusion matrix.
   * @param {{truth?: string, predicted?: string, after?: number}} cell a label that is not given stands for nothing
   */
  judgedImages(project, version, cell) {
    const path = [project, "models", version, "images"].map(encodeURIComponent).join("/");
    return this.#call("GET", `api/projects/${path}?${new URLSearchParams(cell)}`);
  }

  // Smaller images

  /**
   * Makes smaller images where there are none yet, of at most 60 images.
   * @param {"preview" | "thumbnail"} size
   * @returns {Promise<{previews: {sha256: string, url: string, width: number, height: number}[],
   *   missing: {sha256: string, reason: string}[]}>}
   */
  previews(project, size, images) {
    return this.#call("POST", `api/projects/${encodeURIComponent(project)}/previews`, { size, images });
  }

  // Dataset versions ------------------------------------------------------------------------------

  /** All dataset versions, newest first, and what is corrected since. */
  datasets(project) {
    return this.#call("GET", datasetPath(project));
  }

  /** One version's counts; `version` may be "latest". */
  dataset(project, version) {
    return this.#call("GET", datasetPath(project, version));
  }

  /** @returns {Promise<{version: string, total: number, offset: number, images: object[]}>} */
  datasetImages(project, version, wanted) {
    return this.#call("GET", `${datasetPath(project, version, "images")}?${new URLSearchParams(wanted)}`);
  }

  datasetImage(project, version, sha256) {
    return this.#call("GET", datasetPath(project, version, "images", sha256));
  }

  datasetChanges(project, version, since) {
    return this.#call("GET", `${datasetPath(project, version, "changes")}?${new URLSearchParams({ since })}`);
  }

  /** Corrects labels: {sha256, label | labels | boxes | withdrawn, seen} each. */
  async correct(project, version, corrections) {
    return (await this.#call("POST", datasetPath(project, version, "corrections"), { corrections })).corrections;
  }

  /** Has a version built of what is corrected. */
  requestVersion(project) {
    return this.#call("POST", datasetPath(project));
  }

  async #call(method, path, body) {
    let response = await this.#send(method, path, body);
    if (response.status === 401) {
      await this.#session.refresh();
      response = await this.#send(method, path, body);
    }
    if (response.status === 401) {
      this.#session.end();
      throw new SignedOut();
    }
    const served = Date.parse(response.headers.get("Date") ?? "");
    if (Number.isFinite(served)) this.#clockOffsetMs = served - Date.now();
    if (response.status === 204) return null;
    const document = await readJson(response);
    if (!response.ok) throw new Problem(response.status, document);
    return document;
  }

  async #send(method, path, body) {
    const headers = { Authorization: await this.#session.token() };
    const isFile = body instanceof Blob;
    const content = body === undefined || isFile ? body : new TextEncoder().encode(JSON.stringify(body));
    if (content) headers["Content-Type"] = isFile ? body.type : "application/json";
    try {
      return await fetch(new URL(path, BASE), {
        method,
        headers,
        body: content,
        // An answer that is on its way arrives even when the tab is closed at once.
        keepalive: (method === "PUT" || method === "DELETE") && (content?.length ?? 0) < MOST_KEPT_ALIVE,
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
    } catch (error) {
      throw new Unreachable("The server cannot be reached.", { cause: error });
    }
  }
}

function datasetPath(project, ...parts) {
  return ["api/projects", encodeURIComponent(project), "datasets", ...parts.map(encodeURIComponent)].join("/");
}

/** A body that is not JSON (a proxy's error page, a cut connection) reads as no document. */
async function readJson(response) {
  try {
    return await response.json();
  } catch (error) {
    if (response.ok) throw new Unreachable("The server's answer was cut off.", { cause: error });
    return {};
  }
}
