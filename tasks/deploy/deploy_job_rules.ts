/**
 * Our own rules for the jobs of Kubernetes: a job is hardened like the servers, has a time limit, and connects only to
 * destinations of a NetworkPolicy. Pure functions over the validators' parsed files.
 */
import { complaints, hardenedProblems, podSecurityProblems } from "./deploy_rules.ts";
import type { Document } from "./deploy_validate.ts";

const LABEL = "app.kubernetes.io/name";

function jobsIn(
  documents: readonly Document[],
): { name: string; spec: Document; cron?: Document }[] {
  return documents.flatMap(({ kind, metadata, spec }) => {
    const name = `kubernetes: ${metadata.name}`;
    if (kind === "CronJob") return [{ name, spec: spec.jobTemplate.spec, cron: spec }];
    return kind === "Job" ? [{ name, spec }] : [];
  });
}

/** The problems of jobs. `policies` are the manifests with the NetworkPolicies, `version` is the release version. */
export function jobProblems(
  documents: readonly Document[],
  policies: readonly Document[],
  version: string,
): string[] {
  const named = new Set(
    policies.filter(({ kind }) => kind === "NetworkPolicy").map(({ spec }) =>
      spec.podSelector.matchLabels?.[LABEL]
    ),
  );
  return jobsIn(documents).flatMap(({ name, spec, cron }) => {
    const { metadata, spec: pod } = spec.template;
    return [
      ...pod.containers.flatMap((one: Document) => hardenedProblems(name, one)),
      ...podSecurityProblems(name, pod),
      ...complaints(name, [
        ["expected a NetworkPolicy for its label", !named.has(metadata?.labels?.[LABEL])],
        ["expected restartPolicy: Never", pod.restartPolicy !== "Never"],
        [
          "expected concurrencyPolicy: Forbid",
          cron !== undefined && cron.concurrencyPolicy !== "Forbid",
        ],
        [
          "expected activeDeadlineSeconds, for a schedule must not be held up for ever",
          cron !== undefined && !(spec.activeDeadlineSeconds > 0),
        ],
        ...pod.containers.map(({ image }: Document) =>
          [
            `${image}: expected the version of deno.json, ${version}`,
            String(image).startsWith("ghcr.io/") && !String(image).endsWith(`:${version}`),
          ] as const
        ),
      ]),
    ];
  });
}
