/**
 * Stand-ins for the base images of our Dockerfiles and compose.yaml, where no registry is reachable: made from Debian
 * 12 packages and this machine's programs, and named like the real ones, so that the files that name them are used
 * unchanged. They are not the official images: whatever those add or lack is not tested.
 */
import { ensureNatsServer } from "../../tasks/nats_server.ts";
import { type Buildah, must } from "./buildah.ts";

/** This machine's certificates: its network may be behind a proxy with its own certificate. */
const CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt";
const EXTRA = [
  "ca-certificates",
  "libgomp1",
  "libssl3",
  "netbase",
  "redis-server",
  "tzdata",
  "wget",
];
/** The packages of distroless's image cc-debian12. */
const DISTROLESS = [
  ...["base-files", "libc6", "libgcc-s1", "libgomp1", "libssl3", "libstdc++6", "netbase", "tzdata"],
];
const NONROOT = "root:x:0:0:root:/root:/sbin/nologin\n" +
  "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n";
const PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Folders with the files of a system. */
export interface Trees {
  readonly debian: string;
  readonly distroless: string;
}

/** An image: files of this machine, each with its place in the image, and options of `buildah config`. */
interface Base {
  readonly files: readonly (readonly [from: string, to: string])[];
  readonly config?: readonly string[];
}

/** Makes Debian 12 and the subset that distroless keeps, below `dir`. */
export async function makeTrees(dir: string): Promise<Trees> {
  const debian = `${dir}/debian`;
  const distroless = `${dir}/distroless`;
  await must("debootstrap", ["--variant=minbase", `--include=${EXTRA}`, "bookworm", debian]);
  await Deno.copyFile(CERTIFICATES, `${debian}${CERTIFICATES}`);
  await Deno.writeTextFile(`${debian}/etc/nsswitch.conf`, "hosts: files dns\n");
  for (const name of ["server", "cli"]) {
    await Deno.symlink(`redis-${name}`, `${debian}/usr/bin/valkey-${name}`);
  }
  // Without a shell and the rest of Debian. The links of its root need their folders.
  const copy =
    `mkdir -p "$2/usr/lib64" "$2/tmp" "$2/home/nonroot" && chmod 1777 "$2/tmp" && cd "$1" &&
    dpkg-query --admindir=var/lib/dpkg -L ${
      DISTROLESS.join(" ")
    } | sed -n 's#^/\\([^.].*\\)#\\1#p' |
    tar -c --no-recursion -T - ${CERTIFICATES.slice(1)} etc/nsswitch.conf | tar -x -C "$2"`;
  await must("sh", ["-c", copy, "sh", debian, distroless]);
  await Deno.writeTextFile(`${distroless}/etc/passwd`, NONROOT);
  return { debian, distroless };
}

/** The program that runs this, without the links that npm makes. */
const deno = () => Deno.realPathSync(Deno.execPath());

async function which(program: string): Promise<string> {
  return await Deno.realPath(await must("sh", ["-c", `command -v ${program}`]));
}

/** How each is made, by name prefix. The longest prefix wins. */
const BASES: Readonly<Record<string, (trees: Trees) => Base | Promise<Base>>> = {
  "denoland/deno:": ({ debian }) => ({
    files: [[debian, "/"], [deno(), "/usr/bin/deno"]],
    config: ["--env", `DENO_CERT=${CERTIFICATES}`],
  }),
  "denoland/deno:bin-": () => ({ files: [[deno(), "/deno"]] }),
  "gcr.io/distroless/cc-debian12:nonroot": ({ distroless }) => ({
    files: [[distroless, "/"]],
    config: ["--user", "65532", "--env", `SSL_CERT_FILE=${CERTIFICATES}`],
  }),
  // Nothing of Grafana: our image of it is built and inspected only.
  "grafana/grafana:": () => ({ files: [] }),
  "golang:": async ({ debian }) => ({
    files: [[debian, "/"], [await must("go", ["env", "GOROOT"]), "/usr/local/go"]],
    config: ["--env", `${PATH}:/usr/local/go/bin`],
  }),
  "node:": async ({ debian }) => ({
    files: [[debian, "/"], [await which("node"), "/usr/local/bin/node"]],
  }),
  "nats:": async ({ debian }) => ({
    files: [[debian, "/"], [await which(await ensureNatsServer()), "/usr/local/bin/nats-server"]],
    config: ["--entrypoint", '["nats-server"]'],
  }),
  "valkey/valkey:": ({ debian }) => ({ files: [[debian, "/"]] }),
};

/** The base images of a Dockerfile; its arguments have their defaults. */
export function basesOf(dockerfile: string): string[] {
  const defaults = new Map(
    [...dockerfile.matchAll(/^ARG (\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]),
  );
  return [...dockerfile.matchAll(/^FROM (?:--\S+ )?(\S+)/gm)].map(([, name = ""]) =>
    name.replaceAll(/\$\{(\w+)\}/g, (_, argument) => defaults.get(argument) ?? "")
  );
}

/** Makes a stand-in for each of these images. Throws for an unknown one. */
export async function makeBases(
  buildah: Buildah,
  trees: Trees,
  images: ReadonlySet<string>,
  say: (line: string) => void,
): Promise<void> {
  for (const image of images) {
    const [key = ""] = Object.keys(BASES).filter((start) => image.startsWith(start))
      .toSorted((one, other) => other.length - one.length);
    const base = await BASES[key]?.(trees);
    if (base === undefined) throw new Error(`${image}: bases.ts knows no stand-in for it`);
    if (image.startsWith("denoland/") && !image.endsWith(Deno.version.deno)) {
      throw new Error(`${image}: this is Deno ${Deno.version.deno}`);
    }
    const container = await buildah("from", "scratch");
    for (const [from, to] of base.files) await buildah("copy", "--quiet", container, from, to);
    await buildah("config", "--env", PATH, ...base.config ?? [], container);
    await buildah("commit", "--quiet", "--rm", container, image);
    say(`stand-in for ${image}`);
  }
}
