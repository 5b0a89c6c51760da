/**
 * Commands: an admitted `cmd` envelope goes to the Brain as a request, and the Brain's Ack comes
 * back. Not on the message path: a Brain's outage stops commands, never messages.
 */
import { ArqonError, readAck } from "@arqon/proto";
import type { Ack, ScannedEnvelope } from "@arqon/proto";
import { commandSubject } from "../shared/subject.ts";
import { admit, stamp } from "./pipeline.ts";
import type { MessagePath } from "./pipeline.ts";
import type { Caller } from "./policy/overseer.ts";

/**
 * The Brain's answer with `request_id` of this request put in; also a refusal is an answer.
 * Rejects with `brain-unavailable`, `command-timeout` or what `admit` refuses.
 */
export async function command(
  path: MessagePath,
  caller: Caller,
  envelope: ScannedEnvelope,
  timeout_ms: number,
): Promise<Ack> {
  const added = await admit(path, caller, envelope);
  const request = stamp(path, caller.identity, envelope, added).subarray(1);
  const subject = commandSubject(caller.identity.tenant_id, envelope.room_id);
  const reply = await path.spine.request(subject, request, { timeout_ms });
  try {
    return { ...readAck(reply.payload), request_id: envelope.request_id };
  } catch (cause) {
    throw new ArqonError("internal", "", { cause });
  }
}
