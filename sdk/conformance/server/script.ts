/** The format of a scenario file; an unknown member or step is an error. */
import { fromHex, type Plain } from "../plain.ts";

/** One step of a connection's script; the verbs are in `SERVER_STEPS`. */
export type ServerStep = Plain;

/** One scenario, as the server needs it. */
export interface Scenario {
  readonly name: string;
  readonly feature: string;
  readonly server: {
    /** One script for each connection, in the order of connecting. */
    readonly connections: readonly (readonly ServerStep[])[];
  };
}

/** The first member of each step, and its further members. */
function wordsOf(text: string): ReadonlyMap<string, readonly string[]> {
  const lines = text.trim().split("\n").map((line) => line.split(":"));
  return new Map(lines.map(([verb = "", beside = ""]) => [verb, beside.match(/\w+/g) ?? []]));
}

/** Steps of the server. */
const SERVER_STEPS = wordsOf(`
refuse: headers body
send: with of
presence: with
message: times
text:
half:
expect: with as answer
close: reason behind
cut:
wait:
`);

/** Steps of the client, by the value of `do`. */
const CLIENT_STEPS = wordsOf(`
connect: error
subscribe: room as presence observer no_echo member_meta position ready error
since: room taken as
watch: room prefix as error
leave: of
publish: room type data message_id ack timeout_ms headers as error offset
command: room name data command_id timeout_ms as error result
settled: of error offset result
update: of member_meta error
await: of messages status times errors members ended version
signal: name
close:
`);

/** The options of `connect`, and the expectations of its outcome. */
const CLIENT = wordsOf(`
options: token tokens random backoff initial_attempts handshake_timeout_ms request_timeout_ms window queue delta positions
expect: statuses messages ended errors members users position recovered values connections tokens
`);

function only(where: string, value: unknown, known: readonly string[], needed: readonly string[]) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TypeError(`${where}: expected an object`);
  }
  for (const name of Object.keys(value)) {
    if (!known.includes(name)) {
      throw new TypeError(`${where}: unknown "${name}"; known are ${known.join(", ")}`);
    }
  }
  for (const name of needed) {
    if (!(name in value)) throw new TypeError(`${where}: "${name}" is missing`);
  }
}

function checkServerStep(where: string, step: Plain): void {
  const verbs = [...SERVER_STEPS.keys()].filter((verb) => verb in step);
  const [verb] = verbs;
  if (verb === undefined || verbs.length > 1) {
    const known = [...SERVER_STEPS.keys()].join(", ");
    throw new TypeError(`${where}: ${JSON.stringify(step)} needs exactly one of ${known}`);
  }
  only(where, step, [verb, ...SERVER_STEPS.get(verb) ?? []], []);
  if (verb === "message" || verb === "half") fromHex(step[verb] as string);
  if (step.behind !== undefined) fromHex(step.behind as string);
}

function checkClientStep(where: string, step: Plain): void {
  const known = CLIENT_STEPS.get(step.do as string);
  if (known === undefined) {
    const verbs = [...CLIENT_STEPS.keys()].join(", ");
    throw new TypeError(`${where}: "do" is ${JSON.stringify(step.do)}; known are ${verbs}`);
  }
  only(where, step, ["do", ...known], []);
}

function checkScenario(where: string, value: unknown): Scenario {
  const names = ["name", "about", "feature", "server", "client", "expect"];
  only(where, value, names, names);
  const { name, server, client, expect } = value as Plain & Scenario & { client: Plain };
  const here = `${where}, ${JSON.stringify(name)}`;
  only(`${here}, server`, server, ["connections"], ["connections"]);
  only(`${here}, client`, client, ["options", "steps"], ["steps"]);
  only(`${here}, options`, client.options ?? {}, CLIENT.get("options") ?? [], []);
  only(`${here}, expect`, expect, CLIENT.get("expect") ?? [], ["statuses", "connections"]);
  server.connections.forEach((script, index) =>
    script.forEach((step, at) => {
      checkServerStep(`${here}, connection ${index}, step ${at}`, step);
      if ("refuse" in step && script.length > 1) {
        throw new TypeError(`${here}, connection ${index}: a refusal is the only step`);
      }
    })
  );
  (client.steps as Plain[]).forEach((step, at) => {
    checkClientStep(`${here}, client step ${at}`, step);
  });
  return value as Scenario;
}

/** Parses the scenarios of one file. Throws TypeError with the position and what is expected. */
export function readScenarios(file: string, text: string): Scenario[] {
  const value: unknown = JSON.parse(text);
  only(file, value, ["about", "scenarios"], ["about", "scenarios"]);
  const { scenarios } = value as { scenarios: unknown[] };
  const read = scenarios.map((scenario) => checkScenario(file, scenario));
  const names = new Set(read.map(({ name }) => name));
  if (names.size < read.length) throw new TypeError(`${file}: two scenarios have one name`);
  return read;
}
