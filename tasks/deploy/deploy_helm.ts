/**
 * Checks the Helm chart with Helm's own linter, its schema of values, and the Kubernetes schemas for its manifests.
 * `deploy/kubernetes` has the manifests of the default values, so that our rules for manifests also check the chart;
 * `deno run -A tasks/deploy/deploy.ts --write` writes it.
 */
import type { DeployTools } from "./deploy_tools.ts";
import {
  ask,
  type Document,
  type Judged,
  KUBERNETES_VERSIONS,
  validateMade,
} from "./deploy_validate.ts";

/** The chart, relative to the root. */
export const CHART = "deploy/helm/arqonbus";
/** The folder of the manifests without Helm. */
export const PLAIN = "deploy/kubernetes";

/** Runs the linter, then renders the manifests with these values. */
export async function madeByChart(
  { helm }: Pick<DeployTools, "helm">,
  chart: string,
  values: readonly string[],
): Promise<Judged<string>> {
  // A Helm that was built from source assumes an old Kubernetes version.
  const given = [...values, "--kube-version", `${KUBERNETES_VERSIONS[0]}.0`];
  const linted = await ask(helm, ["lint", "--strict", "--quiet", chart, ...given]);
  if (linted.value === undefined) return linted;
  return await ask(helm, ["template", "arqon", chart, "--namespace", "arqon", ...given]);
}

/** The manifests of the chart with these values, and the problems with their form. */
export async function validateChart(
  tools: DeployTools,
  chart: string,
  values: readonly string[],
): Promise<Judged<Document[]>> {
  const { problems, value } = await madeByChart(tools, chart, values);
  return value === undefined ? { problems, value } : await validateMade(tools, value);
}

/** Parts of a manifest that only Helm has, and parts that kustomize adds: labels, checksums, versions of images. */
const OF_HELM: readonly (readonly [RegExp, string])[] = [
  [/^ *\n/gm, ""],
  [/^ {2}labels:\n {4}app\.kubernetes\.io\/part-of: arqonbus\n(?: {4}.*\n){3}/gm, ""],
  [/^ +annotations:\n +checksum\/config: \w+\n/gm, ""],
  [/"(ghcr\.io\/novelbytelabs\/[\w-]+):[^"]+"/g, "$1"],
];
const NOTE =
  `# Made of ${CHART} by \`deno run -A tasks/deploy/deploy.ts --write\`. Yours to change in a copy.\n`;

/** The files of the plain set by path, from Helm's output. Configurations are files of kustomize there. */
export function plainFiles(made: string): Map<string, string> {
  const files = new Map<string, string>();
  for (const document of made.split(/^---\n/m)) {
    const [head = "", name = ""] = /^# Source: arqonbus\/templates\/(.+)\n/.exec(document) ?? [];
    if (name === "" || name === "config.yaml") continue;
    const text = OF_HELM.reduce(
      (now, [pattern, by]) => now.replace(pattern, by),
      document.slice(head.length),
    );
    const path = `${PLAIN}/${name}`;
    const before = files.get(path);
    files.set(path, before === undefined ? NOTE + text : `${before}---\n${text}`);
  }
  return files;
}
