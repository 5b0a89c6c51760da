/** Reports the Overseer's refusals to hooks that subscribe to them. Decides nothing. */
import { ArqonError } from "@arqon/proto";
import type { Caller } from "../message/caller.ts";
import { isJudged } from "../message/gates.ts";
import type { Judged } from "../message/gates.ts";
import type { TenantEvents } from "./tenant_events.ts";
import type { Policies } from "../message/gates.ts";

/** The longest reason that is reported, in UTF-16 units. */
const REASON_UNITS = 512;

/** The same Overseer, whose refusals are reported if a hook wants them. */
export function tellingRefusals(
  overseer: Policies,
  events: Pick<TenantEvents, "isWanted" | "refused">,
  { node_id, now }: { readonly node_id: string; readonly now: () => number },
): Policies {
  const tell = (caller: Caller, what: string, room: string | null, error: unknown) => {
    if (!(error instanceof ArqonError)) return;
    const { reason, message } = error;
    if (reason !== "policy-rejected" && reason !== "policy-fault") return;
    const { identity: { user_id, issuer, role }, connection_id } = caller;
    events.refused(caller.identity.tenant_id, {
      room,
      what,
      reason,
      message: message.slice(0, REASON_UNITS),
      user_id,
      issuer,
      role,
      connection_id,
      node_id,
      at_ms: now(),
    });
  };
  /** Rejects as `judged` does, and reports that. */
  const reported = async <T>(
    judged: PromiseLike<T>,
    caller: Caller,
    what: string,
    room: string | null,
  ): Promise<T> => {
    try {
      return await judged;
    } catch (error) {
      tell(caller, what, room, error);
      throw error;
    }
  };
  const isWanted = ({ identity: { tenant_id } }: Caller) =>
    events.isWanted(tenant_id, "policy.refused");
  return {
    onConnect(caller, note) {
      const judged = overseer.onConnect(caller, note);
      return judged && isWanted(caller) ? reported(judged, caller, "connect", null) : judged;
    },
    onSubscribe(caller, room_id, note) {
      const judged = overseer.onSubscribe(caller, room_id, note);
      return judged && isWanted(caller) ? reported(judged, caller, "subscribe", room_id) : judged;
    },
    onMessage(caller, envelope, path, onReplaced, note): Judged | undefined {
      const what = envelope.command === undefined ? "publish" : "command";
      let judged: Judged | undefined;
      try {
        judged = overseer.onMessage(caller, envelope, path, onReplaced, note);
      } catch (error) {
        if (isWanted(caller)) tell(caller, what, envelope.room_id, error);
        throw error;
      }
      if (isJudged(judged) || !isWanted(caller)) return judged;
      return reported(judged, caller, what, envelope.room_id);
    },
    onAppend(caller, room_id, piece) {
      const judged = overseer.onAppend(caller, room_id, piece);
      return judged && isWanted(caller) ? reported(judged, caller, "append", room_id) : judged;
    },
  };
}
