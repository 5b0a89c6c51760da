/**
 * Which versions of ArqonBus can run together: a starting process asks the running ones for their wire versions, and
 * does not join if one of the two would not understand the other.
 */
import { ArqonError } from "@arqon/proto";
import { z } from "zod";
import type { Spine } from "../spine/contract/spine.ts";
import { requireStorageVersion, STORAGE_WAIT_MS } from "../spine/storage_version.ts";
import { CLUSTER_QUESTIONS, processSubject } from "../subjects/subject.ts";
import { VERSION } from "../version.ts";
import { BYE } from "./cluster_answerer.ts";
import { decodeAnswer, decodeValue, encodeQuestion, type NodeKind } from "./cluster_question.ts";

/** Versions of the messages between processes: the one that a release sends, and the oldest that it understands. */
export interface WireVersions {
  readonly version: number;
  readonly oldest: number;
}

/** Those of this release. */
export const WIRE: WireVersions = { version: 1, oldest: 1 };

/** Without a further answer for this long, all processes are assumed to have answered, in ms. */
const QUIET_MS = 300;
/** Timeout of the question, in ms. */
const ASK_MS = 2_000;

/** The members read from a node's record; a newer release may have more. */
const Node = z.object({
  version: z.string().max(100),
  // A node of the first release announces none.
  gauges: z.object({ wire_version: z.number().default(1), wire_oldest: z.number().default(1) }),
});

interface RunningNode extends z.output<typeof Node> {
  readonly kind: NodeKind;
  readonly node_id: string;
}

/** Why this release cannot run together with those processes, in one line; undefined: it can. */
function wireProblem(nodes: readonly RunningNode[], own = WIRE): string | undefined {
  const named = (some: readonly RunningNode[]) =>
    some.map(({ kind, node_id, version }) => `${kind} ${node_id} (ArqonBus ${version})`).join(", ")
      .slice(0, 1_000);
  const here = `this is ArqonBus ${VERSION}`;
  const newer = nodes.filter(({ gauges }) => gauges.wire_oldest > own.version);
  if (newer.length > 0) {
    return `${here}, too old to run with ${
      named(newer)
    }: start the release that runs there (docs/upgrade.md)`;
  }
  const older = nodes.filter(({ gauges }) => gauges.wire_version < own.oldest);
  if (older.length === 0) return undefined;
  return `${here}, too new to run with ${named(older)}: start a release between the two first ` +
    "(docs/upgrade.md)";
}

interface StartingNode {
  readonly spine: Pick<Spine, "publish" | "subscribe" | "flush">;
  readonly node_id: string;
  readonly kind: NodeKind;
}

/** Asks every running process for its record. Rejects with `spine-unavailable`. */
async function runningNodes({ spine, node_id, kind }: StartingNode) {
  const id = crypto.randomUUID();
  const nodes = new Map<string, RunningNode>();
  const { promise, resolve } = Promise.withResolvers<void>();
  let quiet: ReturnType<typeof setTimeout> | undefined;
  const wait = () => {
    clearTimeout(quiet);
    quiet = setTimeout(resolve, QUIET_MS);
  };
  const most = setTimeout(resolve, ASK_MS);
  const answers = spine.subscribe(processSubject("answers", node_id), ({ payload }) => {
    const part = decodeAnswer(payload);
    if (part?.id !== id) return;
    wait();
    const node = Node.safeParse(decodeValue([part.bytes])).data;
    if (node !== undefined) nodes.set(part.node, { ...node, kind: part.kind, node_id: part.node });
  });
  try {
    const question = { question: "node", id, asker: node_id, kind, params: {} };
    spine.publish(CLUSTER_QUESTIONS, encodeQuestion(question));
    await spine.flush();
    wait();
    await promise;
  } finally {
    clearTimeout(quiet);
    clearTimeout(most);
    answers.unsubscribe();
  }
  return [...nodes.values()];
}

/**
 * Rejects with `incompatible-version` when a process of the cluster does not understand this release, or the reverse.
 * Processes that do not answer are not compared; `arq doctor` reports them later.
 */
export async function requireWireVersion(node: StartingNode, own: WireVersions = WIRE) {
  const problem = wireProblem(await runningNodes(node), own);
  if (problem === undefined) return;
  const { spine, node_id: asker, kind } = node;
  // Tells the others not to wait for this process any longer.
  const bye = { question: BYE, id: "0", asker, kind, params: {} };
  spine.publish(CLUSTER_QUESTIONS, encodeQuestion(bye));
  await spine.flush();
  throw new ArqonError("incompatible-version", problem);
}

/**
 * Both checks of a start: the stored data, and the running processes. Rejects with `incompatible-version` and
 * `spine-unavailable`.
 */
export async function requireVersions(
  { nats }: { readonly nats?: object | undefined },
  node: StartingNode & { readonly spine: Pick<Spine, "keyValue"> },
): Promise<void> {
  await requireStorageVersion(node.spine, nats === undefined ? 0 : STORAGE_WAIT_MS);
  // An embedded Spine has no other process.
  if (nats !== undefined) await requireWireVersion(node);
}
