/**
 * Faults that are planted into a copy of the bus, to see whether the model finds them: one piece of code each, and what
 * stands in its place. `planted.ts` plants them, one at a time.
 */

import type { Row } from "./factors.ts";

/** A fault: `from` stands once in the file. */
export interface Plant {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
  /** Rows that run first, for it shows there if anywhere; all others run when it does not. */
  readonly near: (row: Row) => boolean;
  /** Another file of this folder, whose rows run in place of those, for the fault needs another one beside it. */
  readonly test?: string;
}

const reads = (row: Row, ...kinds: readonly Row["first"][]): boolean =>
  kinds.includes(row.first) || kinds.includes(row.second);

/** The faults; each stands alone. */
export const PLANTS: readonly Plant[] = [
  {
    name: "an echo is sent back",
    near: (row) => reads(row, "echo"),
    file: "shield/fanout/hub.ts",
    from: "if (subscriber.no_echo || !echo) {",
    to: "if (!echo) {",
  },
  {
    name: "a filter keeps nothing back",
    near: (row) => reads(row, "filter"),
    file: "shield/fanout/hub.ts",
    from: "if (isWithheld(this.#options, channel, subscriber, outgoing, of_class)) continue;",
    to: "isWithheld(this.#options, channel, subscriber, outgoing, of_class);",
  },
  {
    name: "a repeated message is delivered again",
    near: (row) => row.twice === "yes" && row.log === "plain",
    file: "shield/fanout/hub.ts",
    from: 'if (id !== "" && channel.seen.repeated(',
    to: 'if (id === "" && channel.seen.repeated(',
  },
  {
    name: "a refusal has the wrong reason",
    near: (row) => row.gate === "banned",
    file: "shield/auth/bans.ts",
    from: ': new ArqonError("room-banned",',
    to: ': new ArqonError("not-granted",',
  },
  {
    name: "a message is counted twice",
    near: (row) => row.gate === "none",
    file: "shield/usage/ledger.ts",
    from: "counts.messages_in++;",
    to: "counts.messages_in += 2;",
  },
  {
    name: "a delivery is not counted",
    near: (row) => reads(row, "text"),
    file: "shared/records/user_use.ts",
    from: "if (is_own !== true) counts.deliveries++;",
    to: "if (is_own === true) counts.deliveries++;",
  },
  {
    name: "why names the wrong cause",
    near: (row) => reads(row, "filter"),
    file: "shield/ledger/explain.ts",
    from: 'return { state: "left_out", why: "filter" };',
    to: 'return { state: "left_out", why: "echo" };',
  },
  {
    name: "a hook is called twice",
    near: (row) => row.hook === "yes",
    file: "brain/hooks/room_feed.ts",
    from: "const { status, problem } = await call(event, this.#ending.signal);",
    to: "await call(event, this.#ending.signal);\n" +
      "      const { status, problem } = await call(event, this.#ending.signal);",
  },
  {
    name: "a recovery brings nothing",
    near: (row) => reads(row, "after"),
    file: "shield/durable/recovery/recovery.ts",
    from: 'if (after >= standing.last) return "end";',
    to: 'if (after >= standing.floor) return "end";',
  },
  {
    name: "a page of history begins one too late",
    near: (row) => reads(row, "history"),
    file: "shield/durable/history/history.ts",
    from: "const page = await readHistory(room, range);",
    to: "const page = await readHistory(room, { ...range, after: range.after + 1 });",
  },
  {
    name: "a schema is not asked",
    near: (row) => row.gate === "schema",
    file: "shield/message/pipeline.ts",
    from: "if (envelope.event === undefined || schemas.isEmpty) return;",
    to: "if (envelope.event !== undefined || schemas.isEmpty) return;",
  },
  {
    name: "a hook that denies is not heard",
    near: (row) => row.gate === "before",
    file: "shield/hooks/gate.ts",
    from: "if (answer.allow) return;",
    to: "return;",
  },
  {
    name: "the answers of a batch are out of order",
    near: (row) => row.source === "batch" && row.gate === "policy",
    file: "shield/http/batch.ts",
    from: "acks.push(Promise.resolve(refused(error)));",
    to: "acks.unshift(Promise.resolve(refused(error)));",
  },
  {
    name: "the journal leaves out what is taken",
    near: (row) => row.journal === "all",
    file: "shield/journal/journal.ts",
    from: 'if (note.rule.mode === "all") this.#write(note, undefined, offset);',
    to: 'if (note.rule.mode !== "all") this.#write(note, undefined, offset);',
  },
  {
    name: "an offset jumps",
    near: (row) => row.log === "durable",
    file: "shield/durable/messages/timeline.ts",
    from: "const frame = encodeMsgAt(envelope, this.offset, space);",
    to: "const frame = encodeMsgAt(envelope, this.offset + 1, space);",
  },
  {
    name: "a GAP is not told",
    near: (row) => reads(row, "slow"),
    file: "shield/fanout/backlog.ts",
    from: "if (message.durable) this.#leaveOut(lane, message, older);",
    to: "if (message.durable) this.#remove(older);",
  },
  {
    name: "a slow reader keeps the older one",
    near: (row) => reads(row, "slow"),
    file: "shield/fanout/backlog.ts",
    from: "if (older !== undefined) {",
    to: "if (older !== undefined) {\n      if (message.durable) return true;",
  },
  {
    name: "the journal leaves out a new payload",
    near: (row) => row.gate === "replace" && row.journal !== "off",
    file: "shield/journal/note.ts",
    from: ": { ...record, payload };",
    to: ": record;",
  },
  {
    name: "a delta is on the wrong base",
    near: (row) => reads(row, "delta_filter") && row.delta === "fossil",
    file: "shield/deltas/deltas.ts",
    from: "const has = held === before?.number && kept?.has(held) !== false;",
    to: "const has = held !== 0 && kept?.has(held) !== false;",
  },
  {
    name: "a schedule fires twice",
    near: (row) => row.source === "schedule",
    file: "shield/schedules/publishing.ts",
    from: "const stored = await publish(",
    to: "const again = messageAt({ ...due, due_ms: due.due_ms + 1 }, context.limits);\n" +
      "  await publish(context.path, { caller, origin: undefined }, again);\n" +
      "  const stored = await publish(",
  },
  {
    name: "the policies are asked before the schema",
    near: (row) => row.gate === "schema_policy",
    file: "shield/message/pipeline.ts",
    from: "  checkSchema(path, caller, envelope, undefined, note);\n  step(AT.policies);\n" +
      "  return path.overseer.onMessage(caller, envelope, path, checkSchema, note);",
    to: "  const judged = path.overseer.onMessage(caller, envelope, path, checkSchema, note);\n" +
      "  if (isJudged(judged)) checkSchema(path, caller, envelope, undefined, note);\n" +
      "  return judged;",
  },
  {
    name: "a ban is asked before the grant",
    near: (row) => row.gate === "ungranted_banned",
    file: "shield/message/pipeline.ts",
    from: "  requireGrant(identity, action, envelope.room_id);\n" +
      "  path.bans.requireRoom(identity, envelope.room_id);",
    to: "  path.bans.requireRoom(identity, envelope.room_id);\n" +
      "  requireGrant(identity, action, envelope.room_id);",
  },
  {
    name: "a signature is not asked for",
    near: (row) => row.gate === "unsigned",
    file: "shield/message/pipeline.ts",
    from:
      "if (verified === undefined) return checkContent(path, caller, envelope, note);\n  return",
    to:
      "verified?.catch(() => {});\n  return checkContent(path, caller, envelope, note);\n  return",
  },
  {
    name: "a budget that is used up is not asked",
    near: (row) => row.gate === "budget",
    file: "shield/usage/budgets.ts",
    from: "if (held?.holding === undefined) return;",
    to: "if (held?.holding?.end_ms !== 0) return;",
  },
  {
    name: "a quota of bytes has the reason of a rate",
    near: (row) => row.gate === "quota",
    file: "shield/quota/quota.ts",
    from: 'throw new ArqonError("tenant-quota", UNITS[unit], { retry_after_ms });',
    to: 'throw new ArqonError("rate-limited", UNITS[unit], { retry_after_ms });',
  },
  {
    name: "a message of a log is not mirrored",
    near: (row) => row.mirror === "all" && row.log !== "plain",
    file: "shield/mirror/mirror.ts",
    from: "if (stored?.duplicate === true) return;",
    to: "if (stored !== undefined) return;",
  },
  {
    name: "the audit log does not say whose budget it was",
    near: (row) => row.gate === "budget",
    file: "shield/admin/routing/admin_router.ts",
    from: "named[0] ?? names.tenant",
    to: "named[0]",
  },
  {
    name: "a message is of another trace than its sender says",
    near: (row) => row.trace === "yes" && reads(row, "text", "binary"),
    file: "shield/message/stamp.ts",
    from: "const known = path.traces?.find(envelope)?.trace_id ?? clientTraceId(envelope);",
    to: "const known = envelope.trace_id || undefined;",
  },
  {
    name: "a verdict of a policy is not in its trace",
    near: (row) => row.trace === "yes" && row.gate === "policy",
    file: "shield/traces/traces.ts",
    from: ': allowed ? "allow" : "reject",',
    to: ': "allow",',
  },
  {
    name: "what a full disk did not take is acknowledged",
    near: () => true,
    test: "faults_disk_test.ts",
    file: "shared/spine/embedded/embedded_log.ts",
    from: "for (const { reject } of batch) reject(error);",
    to: 'for (const { resolve } of batch) resolve({ offset: 1, duplicate: true, stream: "" });',
  },
  {
    name: "a new version of a schema refuses nothing",
    near: () => true,
    test: "faults_calm_test.ts",
    file: "shield/schema/gate.ts",
    from: "return this.#violated(question, mapping, compiled, found);",
    to:
      "return compiled.version > 1 ? undefined : this.#violated(question, mapping, compiled, found);",
  },
  {
    name: "the sender is its tenant",
    near: (row) => reads(row, "text"),
    file: "shield/message/stamp.ts",
    from: "present.sender_id = identity.user_id;",
    to: "present.sender_id = identity.tenant_id;",
  },
  {
    name: "a recovery with a hole is whole",
    near: (row) => reads(row, "trimmed"),
    file: "shield/durable/recovery/recovery.ts",
    from: 'if (after <= standing.trimmed_through) return "history-trimmed";',
    to: 'if (after <= standing.trimmed_through) return "end";',
  },
  {
    name: "a repetition is stored again",
    near: (row) => row.twice === "yes" && row.log === "durable",
    file: "shield/message/pipeline.ts",
    from: "    envelope: routed,\n    message_id,",
    to: '    envelope: routed,\n    message_id: "",',
  },
  {
    name: "a growing text has its last piece twice",
    near: (row) => row.source === "growing",
    file: "shield/growing/record.ts",
    from: "const whole = record.text + released;",
    to: 'const whole = record.text + released + (seq > 1 ? released : "");',
  },
  {
    name: "who comes is not in the members' journal",
    near: (row) => reads(row, "member") && row.membership === "journal",
    file: "brain/membership/room_recorder.ts",
    // What is not written is known to be there: else it is looked at again for ever.
    from: "    await this.#append(entry);\n    take(book, entry);",
    to: '    if (entry.type !== "joined") await this.#append(entry);\n    take(book, entry);',
  },
  {
    name: "the last message stands for a recovery",
    near: (row) => row.log === "cached" && reads(row, "after"),
    file: "shield/durable/recovery/entry_point.ts",
    from:
      "if (this.#read !== undefined) return cursorAfter(this.#read, tail);\n    const room_class = room.class_of();",
    to:
      "const room_class = room.class_of();\n    if (this.#read !== undefined && !room_class.cache_last) return cursorAfter(this.#read, tail);",
  },
  {
    name: "a reader of events comes back one too late",
    near: (row) => reads(row, "events_back"),
    file: "shield/sse/positions.ts",
    from: "return { epoch, offset };",
    to: "return { epoch, offset: offset + 1 };",
  },
];
