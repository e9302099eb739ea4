// SPDX-License-Identifier: Apache-2.0

/**
 * Archives in lamina's own API: as the body of a request or an answer, for everybody, or through a pipe, for programs of
 * this host.
 *
 * @module
 */

import type { ApplyOptions, ApplyResult, DiffOptions, DiffResult, GraphDriver } from "../drivers/driver.ts";
import { StorageError } from "../errors.ts";
import { JoinedSignal } from "../util/joined_signal.ts";
import { untilReadable } from "../util/named_pipe.ts";
import { streamWrittenBy } from "../util/pipe_stream.ts";
import { type Call, queryFields } from "./api_call.ts";
import { readApply, readDiff } from "./api_wire.ts";
import type { ArchivePipes } from "./archive_pipes.ts";
import { BegunStream } from "./begun_stream.ts";
import type { Job, JobKind } from "./jobs.ts";
import type { WorkQueues } from "./work_queue.ts";

/** Where archives come from and go to. */
export interface ArchiveStore {
  pipes: ArchivePipes;
  queues: WorkQueues;
  driver(): Promise<GraphDriver>;
  begin(call: Call, kind: JobKind): Job;
}

/** No type that Deno would compress. */
export const TAR_TYPE = "application/octet-stream";
/** How long who is refused may go on sending his archive, so that he comes to read why. */
const REFUSED_UPLOAD_MS = 1_000;

/** Answers `GET /v1/layers/{id}/diff`. */
export async function answerDiff(call: Call, store: ArchiveStore): Promise<Response> {
  const pipe = call.query.get("pipe");
  if (pipe === null) return await diffAsBody(call, queryFields(call.query, readDiff), store);
  using output = store.pipes.open(pipe, "write");
  call.query.delete("pipe");
  const options = queryFields(call.query, readDiff);
  const driver = await store.driver();
  const job = store.begin(call, "diff");
  const work = job.run(store.queues.diffs, (control) => driver.diffTo(call.word, output, { ...options, ...control }));
  return Response.json(await job.conclude(work));
}

/** Fails before the first byte, or else by breaking the connection; the job tells why. */
async function diffAsBody(call: Call, options: DiffOptions, store: ArchiveStore): Promise<Response> {
  const driver = await store.driver();
  const job = store.begin(call, "diff");
  const begun = Promise.withResolvers<BegunStream<Uint8Array<ArrayBuffer>>>();
  const work = async (): Promise<DiffResult> =>
    await job.run(store.queues.diffs, async ({ onProgress, signal }) => {
      const { stream, result } = await streamWrittenBy(
        (fd, signal) => driver.diffTo(call.word, { fd }, { ...options, onProgress, signal }),
        signal,
      );
      begun.resolve(BegunStream.of(stream, job.signal));
      return await result;
    });
  job.conclude(work()).catch(begun.reject);
  const archive = await begun.promise;
  return new Response(archive.whole(() => {}), { headers: { "content-type": TAR_TYPE } });
}

/** Answers `PUT /v1/layers/{id}/diff`. The turn is taken when the first bytes are there: see work_queue.ts. */
export async function answerApply(call: Call, store: ArchiveStore): Promise<Response> {
  const pipe = call.query.get("pipe");
  if (pipe === null) return await applyBody(call, queryFields(call.query, readApply), store);
  using input = store.pipes.open(pipe, "read");
  call.query.delete("pipe");
  const options = queryFields(call.query, readApply);
  const driver = await store.driver();
  const job = store.begin(call, "apply");
  const work = async (): Promise<ApplyResult> => {
    await untilReadable(input.fd, job.signal);
    return await job.run(
      store.queues.others,
      (control) => driver.applyDiff(call.word, input, { ...options, ...control }),
    );
  };
  return Response.json(await job.conclude(work()));
}

async function applyBody(call: Call, options: ApplyOptions, store: ArchiveStore): Promise<Response> {
  const { request: { body }, word: id } = call;
  const driver = await store.driver();
  const job = store.begin(call, "apply");
  const work = async (): Promise<ApplyResult> => {
    const archive = body === null ? undefined : await BegunStream.of(body, job.signal);
    if (archive === undefined || archive.isEmpty) {
      throw new StorageError("invalid_archive", `Cannot apply a diff to layer "${id}": there is no archive`);
    }
    try {
      return await job.run(
        store.queues.others,
        (control) => driver.applyDiff(id, archive.wholeKeepingRest(), { ...options, ...control }),
      );
    } finally {
      using end = new JoinedSignal(job.signal, AbortSignal.timeout(REFUSED_UPLOAD_MS));
      await archive.discardRest(end.signal);
    }
  };
  return Response.json(await job.conclude(work()));
}
