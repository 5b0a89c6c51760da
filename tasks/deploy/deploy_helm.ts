/**
 * What the gate asks of the Helm chart: Helm's own linter, its schema of values, the schemas of Kubernetes for
 * what it makes, and that with its default values this is what kustomize makes of `deploy/kubernetes`. Our
 * rules for the manifests are thereby the chart's, too.
 */
import type { DeployTools } from "./deploy_tools.ts";
import {
  ask,
  type Document,
  type Judged,
  KUBERNETES_VERSIONS,
  validateMade,
} from "./deploy_validate.ts";

/** The chart, below the root. */
export const CHART = "deploy/helm/arqonbus";

/** Runs the linter, then makes the manifests with these values and checks their form. */
export async function validateChart(
  tools: DeployTools,
  chart: string,
  values: readonly string[],
): Promise<Judged<Document[]>> {
  // A Helm that was built from its sources takes an old Kubernetes for the cluster's.
  const given = [...values, "--kube-version", `${KUBERNETES_VERSIONS[0]}.0`];
  const linted = await ask(tools.helm, ["lint", "--strict", "--quiet", chart, ...given]);
  if (linted.value === undefined) return { problems: linted.problems, value: undefined };
  const release = ["template", "arqon", chart, "--namespace", "arqon"];
  const { problems, value } = await ask(tools.helm, [...release, ...given]);
  return value === undefined ? { problems, value } : await validateMade(tools, value);
}

/** The objects by kind and name, without what only one of both tools writes. */
function comparable(documents: readonly Document[]): Map<string, Document> {
  // kustomize puts a hash behind the names of configurations, the chart a checksum onto the pods.
  const text = JSON.stringify(documents.filter(({ kind }) => kind !== "Namespace"));
  const objects: Document[] = JSON.parse(text.replace(/("[a-z]+-config)-[a-z0-9]{10}"/g, '$1"'));
  return new Map(objects.map((object) => {
    const { metadata, spec } = object;
    delete metadata.labels;
    delete metadata.namespace;
    const pod = spec?.template ?? spec?.jobTemplate?.spec.template;
    if (pod !== undefined) {
      delete pod.metadata.annotations;
      for (const container of pod.spec.containers) delete container.imagePullPolicy;
    }
    if (object.kind === "Secret") {
      delete object.type;
      // kustomize folds Base64.
      for (const key of Object.keys(object.data)) {
        object.data[key] = object.data[key].replace(/\s/g, "");
      }
    }
    return [`${object.kind} ${metadata.name}`, object];
  }));
}

/** The paths at which two values differ, with both. */
function differences(path: string, one: Document, other: Document): string[] {
  const both = [one, other];
  if (both.every((value) => typeof value === "object" && value !== null)) {
    const keys = new Set(both.flatMap((value) => Object.keys(value)));
    return [...keys].flatMap((key) => differences(`${path}.${key}`, one[key], other[key]));
  }
  if (one === other) return [];
  const [left, right] = both.map((value) => JSON.stringify(value) ?? "nothing");
  return [`${path}: ${left} by the chart, ${right} by kustomize`];
}

/** Where what the chart makes is not what kustomize makes. */
export function chartProblems(
  chart: readonly Document[],
  kustomized: readonly Document[],
): string[] {
  const [ours, theirs] = [comparable(chart), comparable(kustomized)];
  return [...new Set([...ours.keys(), ...theirs.keys()])].flatMap((name) =>
    differences(name, ours.get(name), theirs.get(name))
  );
}
