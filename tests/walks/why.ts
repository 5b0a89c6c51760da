/**
 * The permitted answers of `GET /v1/why` about a message and a reader of a walk, given what that reader received.
 * docs/why.md has the states; where only the bus can know what happened, each possible one is right.
 */
import { insist, seen } from "../../shared/testing/until.ts";
import type { Fact, Harm } from "../model/fault_model.ts";
import type { Stage } from "../model/stage.ts";

/** The walk's knowledge about them. */
export interface AskedOf {
  readonly fact: Fact;
  readonly user: string;
  /** It has received the message. */
  readonly has_received: boolean;
  /** When it subscribed: before the message was sent; later, with an earlier position; later. */
  readonly lay: "there" | "caught up" | "later";
  /** Its filter accepts the message. */
  readonly is_wanted: boolean;
  /** The harm to the message and the reader when it was sent, and since. */
  readonly harm: Harm;
  readonly since: Harm;
}

interface Answer {
  readonly messages: readonly { readonly duplicate?: boolean }[];
  readonly connections: readonly {
    readonly outcomes: readonly { readonly state: string; readonly why?: string }[];
  }[];
  readonly nodes: { readonly silent: readonly string[] };
}

const DELIVERED = ["sent", "caught_up"];
/** For a user who was not there for the message, or no longer. */
const ABSENT = ["not_connected", "not_subscribed", "cut_off", "queued", "unknown", "not_heard"];

/** The right states; undefined: any except delivered. */
function statesOf({ has_received, lay, is_wanted, harm, since }: AskedOf): readonly string[] {
  // docs/why.md, "A Shield that is gone": of its last unwritten seconds only their loss is known.
  const gone = since.kills_shield === true ? ["unknown", "not_heard", "not_subscribed"] : [];
  if (has_received) return [...DELIVERED, ...gone];
  if (!is_wanted) return ["left_out", ...ABSENT];
  if (lay === "later") return ABSENT;
  // The bytes were written to a socket that ended.
  const is_cut = harm.cuts_clients === true;
  return is_cut || harm.cuts_spine === true ? [...DELIVERED, ...ABSENT] : ABSENT;
}

const isBusy = (error: unknown) => /\b(429|50\d)\b/.test(String(error));

/** The problems of the answer. */
export async function judgeWhy(stage: Stage, request: AskedOf): Promise<string[]> {
  const { admin, tenant, room, row } = stage;
  const { fact: { place, outcome }, user, since } = request;
  const query = new URLSearchParams({ tenant, message_id: `m-${place}`, user, room });
  // docs/configuration.md, `ledger.store_reads`: questions beyond that are refused, to be retried.
  const ask = () => insist("it is asked", () => admin.read(`/v1/why?${query}`), isBusy);
  const isWhole = ({ nodes }: Answer) => nodes.silent.length === 0;
  const { connections, messages }: Answer = await seen("every Shield answers", ask, isWhole);
  const own = messages.filter(({ duplicate }) => duplicate !== true);
  const about = `why of message ${place} for ${user}`;
  if (outcome !== "") {
    return own.length === 0 || outcome === undefined ? [] : [`${about}: ${outcome}, and heard`];
  }
  if (own.length === 0) {
    const may_be_gone = since.kills_shield === true || !request.has_received;
    return may_be_gone ? [] : [`${about}: nobody knows it, and it was heard`];
  }
  const outcomes = connections.flatMap(({ outcomes }) => outcomes);
  const states = statesOf(request);
  // docs/why.md: `conflated` (`latest`: a newer one replaced it). Any reader is slow on a busy machine.
  const isReplaced = (why?: string) =>
    why === "conflated" && row.log === "latest" && !request.has_received;
  const isRight = ({ state, why }: typeof outcomes[number]) =>
    states.includes(state) || isReplaced(why);
  // One of its connections has received it, others need not.
  if (request.has_received ? outcomes.some(isRight) : outcomes.every(isRight)) return [];
  const shown = outcomes.map(({ state, why = "" }) => `${state} ${why}`.trim()).join(", ");
  return [`${about}: ${shown || "nothing"}, the model: ${states.join(" or ")}`];
}
