/** The Prometheus of this machine, for tests. It downloads nothing. */
import { StreamedCommand } from "../tasks/checkout/streamed_command.ts";

/** A Prometheus that is ready to be asked. */
export interface Prometheus {
  readonly url: string;
  /** Ends Prometheus, and resolves when its folder is removed. */
  stop(): Promise<void>;
}

/** Starts it with this configuration in `folder`. Throws when it is not installed or ends at once. */
export async function startPrometheus(folder: string, config: string): Promise<Prometheus> {
  await Deno.mkdir(folder, { recursive: true });
  await Deno.writeTextFile(`${folder}/prometheus.yml`, config);
  const process = new StreamedCommand(
    new Deno.Command("prometheus", {
      args: [
        `--config.file=${folder}/prometheus.yml`,
        `--storage.tsdb.path=${folder}/data`,
        "--web.listen-address=127.0.0.1:0",
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn(),
  );
  const stop = async () => {
    await process.stop();
    await Deno.remove(folder, { recursive: true });
  };
  try {
    await process.until("Server is ready");
  } catch (error) {
    await stop();
    throw error;
  }
  const port = process.text.match(/msg="Listening on" address=\S*:(\d+)/)?.[1];
  return { url: `http://127.0.0.1:${port}`, stop };
}
