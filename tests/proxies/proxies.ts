/**
 * HAProxy and nginx from the system's packages in front of a listener: with the configuration of docs/scale.md, except
 * for addresses and files. They end with `await using`.
 */
import { until } from "../../shared/testing/until.ts";
import { StreamedCommand } from "../../tasks/checkout/streamed_command.ts";
import { freePort } from "../harness/free_ports.ts";

/** A running proxy. */
export interface Proxy extends AsyncDisposable {
  readonly port: number;
  readonly child: Deno.ChildProcess;
  /** Its output so far. */
  log(): string;
}

/** The last line is for tests: how it interprets a request. */
const FORWARDING = `option forwardfor
  http-request set-header X-Seen "%[method] %[path]"`;

/** A configuration without WebSocket: no upgrade is forwarded. */
const NO_UPGRADE = `http-request del-header Upgrade
  http-request del-header Connection`;

const haproxy = (mode: string, port: number, server: string, more: string) => `
global
  maxconn 1000
defaults
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  timeout tunnel 1h
  timeout http-request 10s
frontend clients
  mode ${mode}
  bind 127.0.0.1:${port}
  ${mode === "http" ? FORWARDING : ""}
  ${more}
  default_backend shields
backend shields
  mode ${mode}
  server one ${server}
`;

const nginx = (dir: string, port: number, target: number, keeps_on: boolean, more: string) => `
worker_processes 1;
pid ${dir}/nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log off;
  client_body_temp_path ${dir}/body;
  proxy_temp_path ${dir}/proxy;
  fastcgi_temp_path ${dir}/fastcgi;
  uwsgi_temp_path ${dir}/uwsgi;
  scgi_temp_path ${dir}/scgi;
  proxy_cache_path ${dir}/cache keys_zone=pages:1m;
  map $http_upgrade $connection_upgrade {
    default upgrade;
    ''      '';
  }
  upstream shields {
    server 127.0.0.1:${target};
    keepalive 8;
  }
  server {
    listen 127.0.0.1:${port};
    client_max_body_size 10m;
    location / {
      proxy_pass http://shields;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Seen "$request_method $uri";
      proxy_read_timeout 1h;
      proxy_ignore_client_abort ${keeps_on ? "on" : "off"};
      ${more}
    }
  }
}
`;

/**
 * HAProxy: with `send-proxy-v2` it forwards TCP with the client's address, else it forwards HTTP; with `no-upgrade` it
 * forwards no upgrade to WebSocket.
 */
export async function startHaproxy(
  target: number,
  how: "proxy-v2" | "forwarded-for" | "no-upgrade",
): Promise<Proxy> {
  const port = freePort();
  const server = `127.0.0.1:${target}${how === "proxy-v2" ? " send-proxy-v2" : ""}`;
  const dir = await Deno.makeTempDir();
  await Deno.writeTextFile(
    `${dir}/haproxy.cfg`,
    haproxy(
      how === "proxy-v2" ? "tcp" : "http",
      port,
      server,
      how === "no-upgrade" ? NO_UPGRADE : "",
    ),
  );
  return await startProxy("haproxy", ["-db", "-f", `${dir}/haproxy.cfg`], port, dir);
}

/**
 * nginx, which forwards HTTP and appends to X-Forwarded-For. With `keeps_on` it forwards what it has read from a client
 * that has closed its sending side; else, as by default, it considers that client disconnected, and whether its request
 * is forwarded is a race. `more` are additional lines for its location; `proxy_cache pages` stores what an answer
 * allows.
 */
export async function startNginx(
  target: number,
  keeps_on = false,
  more: string = "",
): Promise<Proxy> {
  const port = freePort();
  const dir = await Deno.makeTempDir();
  await Deno.writeTextFile(`${dir}/nginx.conf`, nginx(dir, port, target, keeps_on, more));
  const args = ["-p", dir, "-c", `${dir}/nginx.conf`, "-g", "daemon off; user root;"];
  return await startProxy("nginx", args, port, dir);
}

/** Resolves once it accepts connections. Rejects with what to install, or with the program's output. */
export async function startProxy(
  program: string,
  args: readonly string[],
  port: number,
  dir: string,
): Promise<Proxy> {
  let proxy: StreamedCommand;
  try {
    proxy = StreamedCommand.start([program, ...args], { stdout: "null" });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error(
      `${program} is needed and not on the PATH. Debian and Ubuntu: apt-get install ${program}`,
    );
  }
  await until(() => `${program} starts:\n${proxy.text}`, async () => {
    if (await proxy.endsWithin(0)) throw new Error(`${program} does not start:\n${proxy.text}`);
    const conn = await Deno.connect({ hostname: "127.0.0.1", port }).catch(() => undefined);
    conn?.close();
    return conn !== undefined;
  });
  return {
    port,
    child: proxy.child,
    log: () => proxy.text,
    async [Symbol.asyncDispose]() {
      await proxy.stop();
      await Deno.remove(dir, { recursive: true });
    },
  };
}
