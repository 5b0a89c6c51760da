/**
 * Copies the one version, `"version"` of the root deno.json, to every file that contains it: the manifests of the
 * members, `shared/version.ts` for the servers and arq, and the Python SDK. Pure text functions; `gen.ts` writes the
 * files, `release.ts` sets the version.
 */

export const VERSION_FORM = "X.Y.Z or X.Y.Z-rc.N";

/** Whether a text is a version: digits without leading zeros, with a release candidate as the only pre-release. */
export function isVersion(text: string): boolean {
  return /^(0|[1-9]\d{0,5})(\.(0|[1-9]\d{0,5})){2}(-rc\.[1-9]\d{0,2})?$/.test(text);
}

/** The version-related parts of the root deno.json. */
interface RootManifest {
  readonly version?: unknown;
  readonly workspace?: unknown;
}

/** A file with a version, and the generated line. */
interface VersionedFile {
  /** Path below the root. */
  readonly path: string;
  /** Matches the version with the text before it (1) and after it (2); has the flags `m` and `g`. */
  readonly line: RegExp;
  /** True for a member that must not have a version, since it is not released separately. */
  readonly optional?: boolean;
  /** Number of lines with the version; absent: one. */
  readonly places?: number;
}

const MANIFEST_LINE = /^( {2}"version": ")[^"]*(",?)$/gm;

/** The position of the version in the root deno.json. */
export const ROOT_MANIFEST: VersionedFile = { path: "deno.json", line: MANIFEST_LINE };

const PYTHON: readonly VersionedFile[] = [
  { path: "sdk/python/pyproject.toml", line: /^(version = ")[^"]*(")$/gm },
  { path: "sdk/python/src/arqon/__init__.py", line: /^(__version__ = ")[^"]*(")$/gm },
];

/** The tags of our three images, and of the image in manifests that are applied separately. */
const KUBERNETES: readonly VersionedFile[] = [
  { path: "deploy/kubernetes/kustomization.yaml", line: /^( {4}newTag: )\S+()$/gm, places: 3 },
  ...["restore", "standby"].map((name) => ({
    path: `deploy/kubernetes/${name}.yaml`,
    line: /^( +image: ghcr\.io\/novelbytelabs\/arqon:)\S+()$/gm,
  })),
];

const HELM: readonly VersionedFile[] = [
  {
    path: "deploy/helm/arqonbus/Chart.yaml",
    line: /^((?:version: |appVersion: "))[^"\n]*("?)$/gm,
    places: 2,
  },
];

/** The version in the text of the root deno.json. Throws an Error that gives the valid form. */
export function readVersion(root_manifest: string): string {
  const { version } = JSON.parse(root_manifest) as RootManifest;
  if (typeof version === "string" && isVersion(version)) return version;
  throw new Error(`deno.json: "version" is ${JSON.stringify(version)}; it must be ${VERSION_FORM}`);
}

/** Every file with the version: all members of the workspace, Python's, the image tags, and the chart. */
export function versionedFiles(root_manifest: string): VersionedFile[] {
  const { workspace } = JSON.parse(root_manifest) as RootManifest;
  if (!Array.isArray(workspace)) throw new Error('deno.json: "workspace" is not a list');
  const members = workspace.map((member) => ({
    path: `${String(member).replace(/^\.\//, "")}/deno.json`,
    line: MANIFEST_LINE,
    optional: true,
  }));
  return [...members, ...PYTHON, ...KUBERNETES, ...HELM];
}

/** The text with the version in all positions. Throws if the number of positions is wrong. */
export function withVersion(file: VersionedFile, text: string, version: string): string {
  const { path, line, optional = false, places = 1 } = file;
  if (optional && !text.includes('"version"')) return text;
  const found = [...text.matchAll(line)].length;
  if (found !== places) {
    throw new Error(`${path}: ${found} lines for the version; there must be ${places}`);
  }
  return text.replace(line, (_, before, after) => `${before}${version}${after}`);
}

/** The text of `shared/version.ts`. */
export function renderVersionModule(version: string): string {
  return `/**
 * The version of this release, from the root deno.json by \`deno task gen\`; do not edit. The
 * protocol has a version of its own.
 */

/** For example "0.1.0": what \`--version\`, metrics, logs and the operators' API show. */
export const VERSION = ${JSON.stringify(version)};
`;
}
