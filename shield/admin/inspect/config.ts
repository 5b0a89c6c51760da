/** `GET /v1/config` and `POST /v1/config/reload`: which configuration is in force in each process. */
import { z } from "zod";
import { NodeConfigAnswer } from "../../../shared/cluster/cluster_control.ts";
import type { Gathered } from "../../../shared/cluster/cluster_asker.ts";
import type { AdminCall } from "../routing/admin_routes.ts";
import { Id, readQuery } from "../routing/query.ts";
import type { Answer, ListContext } from "./lists.ts";

/** Answers `GET /v1/config`. */
export async function config(context: ListContext, { url }: AdminCall): Promise<Answer> {
  const { node } = readQuery(url, { node: Id.optional() });
  const gathered = await context.asker.ask("config", NodeConfigAnswer, { to: node });
  context.asker.require(node, gathered.nodes);
  return told(gathered);
}

/** The body of `POST /v1/config/reload`; without a node, all processes are asked. */
export const ReloadBody = z.strictObject({ node_id: Id.optional() });

/**
 * Answers `POST /v1/config/reload`. Rejects with `not-found` or `process-unavailable` for a process that does
 * not answer.
 */
export async function reloadConfig(
  context: ListContext,
  { node_id }: z.output<typeof ReloadBody>,
  by: string,
): Promise<Answer> {
  const options = { params: { by }, to: node_id, is_order: true } as const;
  const gathered = await context.asker.ask("reload_config", NodeConfigAnswer, options);
  context.asker.require(node_id, gathered.nodes);
  return told(gathered);
}

/** A Brain in the process of a Shield has nothing to tell beside it. */
function told({ answers, nodes }: Gathered<z.output<typeof NodeConfigAnswer>>): Answer {
  const configs = answers.flatMap(({ node_id, kind, value }) =>
    value === null ? [] : [{ node_id, kind, ...value }]
  );
  return { configs, nodes };
}
