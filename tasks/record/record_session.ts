/**
 * Runs the session that the quick start shows, in an empty folder and in real terminals (`script` of util-linux
 * gives each command one): install, `arq init`, `arq dev --embedded`, publish and subscribe, `arq doctor`,
 * `arq status`. Its home is its own; so are its ports, unless it is to run the README's commands literally.
 */
import { type Differing, type Entry, normalise, PORTS } from "./record_text.ts";
import { Terminal } from "../checkout/terminal.ts";
import { ROOT } from "../checkout/source_files.ts";
import { freePorts } from "../../tests/harness/free_ports.ts";

/** The place of `arq`: the packed npm package, or this checkout. */
export type Source = { readonly tarball: string } | "checkout";

/** The package that `deno task pack` has made. */
export async function packedArq(): Promise<Source> {
  const { version } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  const tarball = `${ROOT}dist/npm/arqon-${version}.tgz`;
  try {
    await Deno.stat(tarball);
    return { tarball };
  } catch {
    throw new Error(`${tarball} is not there: deno task pack makes it`);
  }
}

/** The arguments with which deno runs the checkout's `arq`, as `deno task arq` has them. */
export async function checkoutArq(): Promise<string[]> {
  const { tasks } = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
  const words = String(tasks.arq).split(" ");
  if (words[0] !== "deno" || words[1] !== "run" || words.at(-1) !== "arq/main.ts") {
    throw new Error(`deno.json: the task arq is not "deno run … arq/main.ts", but ${tasks.arq}`);
  }
  const flags = words.slice(2, -1);
  return ["run", "--quiet", "--config", `${ROOT}deno.json`, ...flags, `${ROOT}arq/main.ts`];
}

const quoted = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;

class Session implements AsyncDisposable {
  readonly entries: Entry[] = [];
  readonly #started: Terminal[] = [];

  constructor(readonly differing: Differing, readonly arq: string) {}

  /** Starts the command line `run`, which may differ from the command that is shown. */
  start(run: string): Terminal {
    const { folder, config_home } = this.differing;
    // As many open files as possible, since doctor looks at their number.
    const started = new Terminal(`ulimit -n "$(ulimit -Hn)"; ${run}`, {
      cwd: folder,
      env: {
        XDG_CONFIG_HOME: config_home,
        INIT_CWD: folder,
        // The checkout stands for the package, whose launcher sets this variable.
        ARQON_CALLED_AS: "npx arq",
        npm_config_audit: "false",
        npm_config_fund: "false",
        npm_config_loglevel: "error",
        npm_config_progress: "false",
        npm_config_update_notifier: "false",
      },
    });
    this.#started.push(started);
    return started;
  }

  /** Notes what a command wrote in a terminal, without the parts that differ from run to run. */
  note(terminal: number, command: string, output: string): void {
    this.entries.push({ terminal, command, output: normalise(output, this.differing) });
  }

  /** Runs a command to its end. Throws when it fails. */
  async run(terminal: number, command: string, run: string): Promise<void> {
    const started = this.start(run);
    const output = await started.ended;
    const { code } = await started.child.status;
    if (code !== 0) throw new Error(`${command} ended with ${code}:\n${output}`);
    this.note(terminal, command, output);
  }

  /** A command of `arq`: the words that are shown, and what runs, which has further arguments. */
  arqLine(words: string, hidden = ""): [shown: string, run: string] {
    return [`npx arq ${words}`, `${this.arq} ${words} ${hidden}`];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const started of this.#started.reverse()) await started.stop();
  }
}

async function record(session: Session): Promise<void> {
  const [port, ops_port, admin_port] = session.differing.ports;
  const ports = port === PORTS[0]
    ? ""
    : `--port ${port} --ops-port ${ops_port} --admin-port ${admin_port}`;
  await session.run(1, ...session.arqLine("init", ports));
  const [dev, dev_run] = session.arqLine("dev --embedded", ports);
  // The log goes to a file, so that nobody takes it for the output of the bus.
  const bus = session.start(`${dev_run} 2>bus.log`);
  await bus.until("Ctrl-C ends it.");
  session.note(1, `${dev} 2>bus.log`, bus.text);

  const [sub, sub_run] = session.arqLine("sub lobby --count 1");
  const subscriber = session.start(sub_run);
  await subscriber.until("Subscribed to lobby");
  const subscribed = subscriber.text;
  session.note(2, sub, subscribed);
  await session.run(3, ...session.arqLine(`pub lobby '{"hello":"world"}'`));
  session.note(2, "", (await subscriber.ended).slice(subscribed.length));
  await session.run(3, ...session.arqLine("doctor"));
  await session.run(3, ...session.arqLine("status | head -n 11"));
}

/**
 * The session as it went. With a tarball it begins with the installation, which asks npm's registry for Deno;
 * otherwise the checkout's `arq` stands for an installed one. Its bus takes free ports, or the usual ones.
 */
export async function recordSession(
  source: Source,
  ports: "free" | "usual" = "free",
): Promise<Entry[]> {
  const folder = await Deno.makeTempDir({ prefix: "arqon_session_" });
  const config_home = await Deno.makeTempDir({ prefix: "arqon_session_config_" });
  try {
    const [client = 0, ops = 0, admin = 0] = freePorts(3);
    const taken = ports === "usual" ? PORTS : [client, ops, admin] as const;
    const differing = { folder, config_home, ports: taken };
    const checkout = [Deno.execPath(), ...await checkoutArq()].map(quoted).join(" ");
    await using session = new Session(differing, source === "checkout" ? checkout : "npx arq");
    if (source !== "checkout") {
      const name = source.tarball.split("/").at(-1) ?? "";
      await Deno.copyFile(source.tarball, `${folder}/${name}`);
      await session.run(1, `npm install ./${name}`, `npm install ${quoted(`./${name}`)}`);
    }
    await record(session);
    return session.entries;
  } finally {
    await Deno.remove(folder, { recursive: true });
    await Deno.remove(config_home, { recursive: true });
  }
}
