/**
 * What `GET /v1/why` may say of a message and a reader of a walk, by what that reader itself came upon. docs/why.md has
 * the states; where only the bus can know what happened, each of them that may be right is.
 */
import { insist, seen } from "../../shared/testing/until.ts";
import type { Fact, Harm } from "../model/fault_model.ts";
import type { Stage } from "../model/stage.ts";

/** What the walk knows of them. */
export interface AskedOf {
  readonly fact: Fact;
  readonly user: string;
  /** It has got the message. */
  readonly has_heard: boolean;
  /** How it lay to the message: there before it was sent; come later, and goes on from before it; come later. */
  readonly lay: "there" | "caught up" | "later";
  /** Its filter lets the message through. */
  readonly is_wanted: boolean;
  /** What happened to the message and the reader when it was sent, and what has happened since. */
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
/** Said of who was not there for the message, or not any more. */
const ABSENT = ["not_connected", "not_subscribed", "cut_off", "queued", "unknown", "not_heard"];

/** The states that are right; undefined: any that does not say that it was delivered. */
function statesOf({ has_heard, lay, is_wanted, harm, since }: AskedOf): readonly string[] {
  // docs/why.md, "A Shield that is gone": of its last unwritten seconds nothing is known but that they are gone.
  const gone = since.kills_shield === true ? ["unknown", "not_heard", "not_subscribed"] : [];
  if (has_heard) return [...DELIVERED, ...gone];
  if (!is_wanted) return ["left_out", ...ABSENT];
  if (lay === "later") return ABSENT;
  // The bytes were given to a socket that ended.
  const is_cut = harm.cuts_clients === true;
  return is_cut || harm.cuts_spine === true ? [...DELIVERED, ...ABSENT] : ABSENT;
}

const isBusy = (error: unknown) => /\b(429|50\d)\b/.test(String(error));

/** What is wrong with what is said. */
export async function judgeWhy({ admin, tenant, room }: Stage, asked: AskedOf): Promise<string[]> {
  const { fact: { place, outcome }, user, since } = asked;
  const query = new URLSearchParams({ tenant, message_id: `m-${place}`, user, room });
  // docs/configuration.md, `ledger.store_reads`: beyond that questions are refused, to be asked again.
  const ask = () => insist("it is asked", () => admin.read(`/v1/why?${query}`), isBusy);
  const isWhole = ({ nodes }: Answer) => nodes.silent.length === 0;
  const { connections, messages }: Answer = await seen("every Shield answers", ask, isWhole);
  const own = messages.filter(({ duplicate }) => duplicate !== true);
  const about = `why of message ${place} for ${user}`;
  if (outcome !== "") {
    return own.length === 0 || outcome === undefined ? [] : [`${about}: ${outcome}, and heard`];
  }
  if (own.length === 0) {
    const may_be_gone = since.kills_shield === true || !asked.has_heard;
    return may_be_gone ? [] : [`${about}: nobody knows it, and it was heard`];
  }
  const told = connections.flatMap(({ outcomes }) => outcomes);
  const states = statesOf(asked);
  const isRight = ({ state }: typeof told[number]) => states.includes(state);
  // One of its connections has got it, others need not.
  if (asked.has_heard ? told.some(isRight) : told.every(isRight)) return [];
  const said = told.map(({ state, why = "" }) => `${state} ${why}`.trim()).join(", ");
  return [`${about}: ${said || "nothing"}, the model: ${states.join(" or ")}`];
}
