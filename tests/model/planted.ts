/**
 * `deno task model:planted [--only NAME,…]`: plants faults, one at a time, into a copy of the checkout, and runs the rows of
 * the model there: each must be found. What is not found is said; exits 1 then. A plant is one piece of code and what
 * stands in its place; one that is not there any more is an error.
 */
import { copyCheckout } from "../../tasks/checkout/checkout_copy.ts";
import { names } from "../harness/task_arguments.ts";
import { runTask } from "../harness/task.ts";

/** A fault: `from` stands once in the file. */
interface Plant {
  readonly name: string;
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

const PLANTS: readonly Plant[] = [
  {
    name: "an echo is sent back",
    file: "shield/fanout/hub.ts",
    from: "if (subscriber.no_echo || !echo) {",
    to: "if (!echo) {",
  },
  {
    name: "a filter keeps nothing back",
    file: "shield/fanout/hub.ts",
    from: "if (isWithheld(this.#options, channel, subscriber, outgoing, of_class)) continue;",
    to: "isWithheld(this.#options, channel, subscriber, outgoing, of_class);",
  },
  {
    name: "a repeated message is delivered again",
    file: "shield/fanout/hub.ts",
    from: 'if (id !== "" && channel.seen.repeated(',
    to: 'if (id === "" && channel.seen.repeated(',
  },
  {
    name: "a refusal has the wrong reason",
    file: "shield/auth/bans.ts",
    from: ': new ArqonError("room-banned",',
    to: ': new ArqonError("not-granted",',
  },
  {
    name: "a message is counted twice",
    file: "shield/usage/ledger.ts",
    from: "counts.messages_in++;",
    to: "counts.messages_in += 2;",
  },
  {
    name: "a delivery is not counted",
    file: "shared/usage/user_use.ts",
    from: "if (is_own !== true) counts.deliveries++;",
    to: "if (is_own === true) counts.deliveries++;",
  },
  {
    name: "why names the wrong cause",
    file: "shield/ledger/explain.ts",
    from: 'return { state: "left_out", why: "filter" };',
    to: 'return { state: "left_out", why: "echo" };',
  },
  {
    name: "a hook is called twice",
    file: "brain/hooks/room_feed.ts",
    from: "const { status, problem } = await call(event, this.#ending.signal);",
    to: "await call(event, this.#ending.signal);\n" +
      "      const { status, problem } = await call(event, this.#ending.signal);",
  },
  {
    name: "a recovery brings nothing",
    file: "shield/durable/recovery/recovery.ts",
    from: 'if (after >= standing.last) return "end";',
    to: 'if (after >= standing.floor) return "end";',
  },
  {
    name: "a page of history begins one too late",
    file: "shield/durable/history/history.ts",
    from: "const page = await readHistory(room, range);",
    to: "const page = await readHistory(room, { ...range, after: range.after + 1 });",
  },
  {
    name: "a schema is not asked",
    file: "shield/message/pipeline.ts",
    from: "if (envelope.event === undefined || path.schemas.isEmpty) return;",
    to: "if (envelope.event !== undefined || path.schemas.isEmpty) return;",
  },
  {
    name: "a hook that denies is not heard",
    file: "shield/hooks/gate.ts",
    from: "if (answer.allow) return;",
    to: "return;",
  },
  {
    name: "the answers of a batch are out of order",
    file: "shield/http/batch.ts",
    from: "acks.push(Promise.resolve(refused(error)));",
    to: "acks.unshift(Promise.resolve(refused(error)));",
  },
  {
    name: "the journal leaves out what is taken",
    file: "shield/journal/journal.ts",
    from: 'if (note.rule.mode === "all") this.#write(note, undefined, offset);',
    to: 'if (note.rule.mode !== "all") this.#write(note, undefined, offset);',
  },
];

async function run(folder: string, ...args: string[]): Promise<boolean> {
  const { success } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: folder,
    stdout: "null",
    stderr: "null",
  }).output();
  return success;
}

/** Whether the rows find the fault. */
async function isFound(folder: string, { name, file, from, to }: Plant): Promise<boolean> {
  const path = `${folder}/${file}`;
  const text = await Deno.readTextFile(path);
  if (text.split(from).length !== 2) throw new Error(`${name}: ${file} has not once: ${from}`);
  await Deno.writeTextFile(path, text.replace(from, () => to));
  try {
    if (!await run(folder, "check", "--quiet", file)) throw new Error(`${name}: does not compile`);
    return !await run(folder, "task", "test", "tests/model/together_test.ts");
  } finally {
    await Deno.writeTextFile(path, text);
  }
}

const USAGE = {
  command: "deno task model:planted",
  about:
    `Plants faults, one at a time, into a copy of the checkout. Exits 1 when the rows of tests/model do not
find one.`,
  options: { only: names("these faults alone") },
};

if (import.meta.main) {
  await runTask(USAGE, Deno.args, async ({ only }, say) => {
    const folder = await Deno.makeTempDir({ prefix: "arqon-planted-" });
    const problems: string[] = [];
    try {
      await copyCheckout(folder);
      if (!await run(folder, "task", "test", "tests/model/together_test.ts")) {
        return { problems: ["without a fault the rows do not pass"] };
      }
      for (const plant of PLANTS) {
        if (only.length > 0 && !only.includes(plant.name)) continue;
        const found = await isFound(folder, plant);
        say(`${found ? "found" : "NOT FOUND"}: ${plant.name}`);
        if (!found) problems.push(plant.name);
      }
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
    return { problems };
  });
}
