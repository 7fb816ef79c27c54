/** The views of a project, in the order of its navigation: `#/projects/<project>` and `.../<section>`. */

/** @type {{name: string, element: string, title: string}[]} the first one is the project's own address */
export const SECTIONS = [
  { name: "", element: "loupe-labeling", title: "Label" },
  { name: "dataset", element: "loupe-dataset", title: "Dataset" },
  { name: "models", element: "loupe-models", title: "Models" },
  { name: "try", element: "loupe-try", title: "Try it" },
  { name: "jobs", element: "loupe-jobs", title: "Jobs" },
  { name: "workers", element: "loupe-workers", title: "Workers" },
];

/** The address of a project's section; `query` are the parameters after `?`. */
export function sectionLink(project, name, query = {}) {
  const parameters = new URLSearchParams(query).toString();
  const path = `#/projects/${encodeURIComponent(project)}${name ? `/${name}` : ""}`;
  return parameters ? `${path}?${parameters}` : path;
}

/**
 * What the address after `#` asks for: null for the list of projects, and a section of undefined for a
 * place that there is not.
 * @returns {{project: string, section: typeof SECTIONS[number] | undefined, query: URLSearchParams} | null}
 */
export function readAddress(hash) {
  const [path, parameters] = hash.split("?", 2);
  const [, project, name = ""] = /^#\/projects\/([a-z0-9-]+)(?:\/([a-z-]*))?$/.exec(path) ?? [];
  if (!project) return null;
  return { project, section: SECTIONS.find((each) => each.name === name), query: new URLSearchParams(parameters) };
}
