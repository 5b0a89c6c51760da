/**
 * Commands: an admitted `cmd` envelope goes to the Brain as a request, and the Brain's Ack comes
 * back. Not on the message path: a Brain's outage stops commands, never messages.
 */
import { ArqonError, readAck } from "@arqon/proto";
import type { Ack, ScannedEnvelope } from "@arqon/proto";
import { commandSubject } from "../shared/subject.ts";
import type { Identity } from "./identity.ts";
import { admit, stamp } from "./pipeline.ts";
import type { MessagePath } from "./pipeline.ts";

/**
 * The Brain's answer with `request_id` of this request put in; also a refusal is an answer.
 * Rejects with `brain-unavailable`, `command-timeout` or what `admit` refuses.
 */
export async function command(
  path: MessagePath,
  identity: Identity,
  envelope: ScannedEnvelope,
  timeout_ms: number,
): Promise<Ack> {
  await admit(path, identity, envelope);
  const request = stamp(path, identity, envelope).subarray(1);
  const subject = commandSubject(identity.tenant_id, envelope.room_id);
  const reply = await path.spine.request(subject, request, { timeout_ms });
  try {
    return { ...readAck(reply.payload), request_id: envelope.request_id };
  } catch (cause) {
    throw new ArqonError("internal", "", { cause });
  }
}
