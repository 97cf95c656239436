"""The checks, each under the promise it looks at. A check takes a history and yields complaints,
one line each; `history.facts` counts what was looked at, so that a check that saw nothing shows."""

import collections
import os
import re

ZERO = "0" * 40
ATTEMPTS_MAX = 3
NEVER = float("inf")
# The worst outcome of its jobs is a build's (proto/outcomes.def).
BY_BADNESS = ("skipped", "passed", "cancelled", "failed", "timed_out", "lost", "error")
# Outcomes that a worker says; the broker itself decides the others.
SAID_BY_WORKERS = ("passed", "failed", "error", "timed_out", "cancelled")
COUNTED_LINE = re.compile(rb"^(\S+) line (\d+) of (\d+)(?: .*)?$", re.MULTILINE)
OWNER = re.compile(rb"^[0-9a-f]{40}/[\w.-]+/\d$")
CUT = b"[fettle: "


def p1_accepted_is_stored(history):
    """Whoever was told that something is accepted or recorded was told the truth."""
    stored = {(b.repository, b.ref, b.commit) for b in history.recorded.builds.values()}
    for observer in history.said.observers:
        for fed in observer.fed:
            history.facts["tips fed"] += 1
            if fed.commits and (fed.repository, fed.ref, fed.tip) not in stored:
                yield (
                    f"an observer was told that {fed.ref} of {fed.repository} is fed to "
                    f"{fed.tip[:12]}, which has no build"
                )
    for event in history.said.broker.events:
        build = history.recorded.builds.get(event.build)
        if event.kind == "accepted":
            history.facts["accepted events"] += 1
            if not build or not build.commit.startswith(event.commit):
                yield f"build {event.build} of {event.commit} was accepted and is not stored"
    for what in history.recorded.damage:
        yield f"the store is damaged: {what}"


def p2_no_gap(history):
    """No commit between two that were accepted was left out, and the newest is there."""
    first_looks = looks_after_deletion(history.said.broker.updates)
    for name, repository in history.repositories.items():
        builds = [b for b in history.recorded.builds.values() if b.repository == name]
        parents = repository.parents({b.commit for b in builds})
        reached = collections.defaultdict(set)
        for build in builds:
            history.facts["commits in a row"] += 1
            reach = reached[build.ref]
            above = parents.get(build.commit)
            if above is None:
                yield f"build {build.id} is of {build.commit[:12]}, which {name} does not have"
                continue
            first = not reach or (name, build.ref, build.commit) in first_looks
            if above and above[0] not in reach and not first:
                if reach & closure(parents, build.commit, set()):
                    yield (
                        f"{build.ref} of {name}: {build.commit[:12]} was accepted, "
                        f"its parent {above[0][:12]} was not"
                    )
            reach |= closure(parents, build.commit, reach)
        if history.settled:
            yield from marks_are_tips(history, name, repository, reached)
            yield from newest_is_run(history, name)


def looks_after_deletion(updates):
    """A branch that was deleted begins with its newest commit when it is there again."""
    deleted, looks = set(), set()
    for update in updates:
        branch = (update.repository, update.ref)
        if update.to == ZERO:
            deleted.add(branch)
        elif update.start == ZERO and branch in deleted:
            looks.add((*branch, update.to))
    return looks


def closure(parents, commit, known):
    """A commit and all before it that are not known."""
    found, waiting = set(), [commit]
    while waiting:
        one = waiting.pop()
        if one in found or one in known:
            continue
        found.add(one)
        waiting += parents.get(one, ())
    return found


def marks_are_tips(history, name, repository, reached):
    tips = repository.tips()
    marks = {ref: mark for (owner, ref), mark in history.recorded.marks.items() if owner == name}
    for ref in sorted(set(tips) | set(marks)):
        tip, mark = tips.get(ref, ZERO), marks.get(ref, ZERO)
        history.facts["tips"] += 1
        if mark != tip:
            yield f"{ref} of {name} is at {tip[:12]}, its mark at {mark[:12]}"
        elif tip != ZERO and tip not in reached[ref]:
            yield f"{ref} of {name}: its newest commit {tip[:12]} was never accepted"


def newest_is_run(history, name):
    """Only what is not the newest may be left out, and only where that was asked for."""
    recorded = history.recorded
    latest = {(u.repository, u.ref) for u in history.said.broker.updates if u.latest}
    newest = {}
    for build in recorded.builds.values():
        if build.repository != name:
            continue
        left_out = any(is_superseded(job) for job in recorded.of_build[build.id])
        if left_out and history.said.broker.updates and (name, build.ref) not in latest:
            yield f"{build.ref} of {name}: {build.commit[:12]} was left out, nobody asked for that"
        newest[build.ref] = (build.commit, left_out)
    for ref, (commit, left_out) in newest.items():
        if left_out and recorded.marks.get((name, ref)) == commit:
            yield f"{ref} of {name}: its newest commit {commit[:12]} was left out"


def is_superseded(job):
    return job.outcome == "skipped" and (job.reason or "").startswith("superseded by ")


def p3_once(history):
    """The same commit offered again is not accepted again, but for one that was left out for a
    newer one and is the newest now."""
    seen = set()
    left_out = collections.Counter()
    for build in history.recorded.builds.values():
        history.facts["builds"] += 1
        key = (build.repository, build.ref, build.commit, build.run)
        what = f"{build.commit[:12]} on {build.ref} of {build.repository} has run {build.run}"
        if key in seen:
            yield f"{what} twice"
        elif build.run != 1 + left_out[key[:3]]:
            yield f"{what}, and nobody asked for it"
        seen.add(key)
        left_out[key[:3]] += any(is_superseded(job) for job in history.recorded.of_build[build.id])


def p4_one_verdict(history):
    """Each job and build ends once, and each build as its worst job."""
    recorded = history.recorded
    for build in recorded.builds.values():
        jobs = recorded.of_build[build.id]
        outcomes = [job.outcome for job in jobs if job.outcome]
        worst = max(map(counted, filter(is_final, jobs)), key=BY_BADNESS.index, default=None)
        final = len(outcomes) == len(jobs)
        if not jobs:
            yield f"build {build.id} has no job"
        elif build.outcome and (not final or build.outcome != worst):
            yield f"build {build.id} is {build.outcome}, of {len(jobs)} jobs are {outcomes}"
        elif not build.outcome and (history.settled or final):
            yield f"build {build.id} of {build.commit[:12]} has no verdict"
    for job in recorded.jobs.values():
        history.facts["jobs"] += 1
        if history.settled and job.state != "final":
            yield f"job {job.id} of build {job.build} is {job.state}"
    for kind, rows in (("finished", recorded.jobs), ("verdict", recorded.builds)):
        yield from said_once(history, kind, rows)


def is_final(job):
    return job.outcome is not None


def counted(job):
    """What the outcome of a job is to its build: an allowed failure is none."""
    return "passed" if job.allowed and job.outcome != "skipped" else job.outcome


def stops(job):
    """Those after it are not run. What an allowed failure was skipped for, it passes on."""
    passed_on = job.outcome == "skipped" and (job.reason or "").startswith("after ")
    return is_final(job) and job.outcome != "passed" and (not job.allowed or passed_on)


def p4_after_others(history):
    """A job is handed out when all that it is after are done, and skipped when one of them failed."""
    recorded = history.recorded
    when = {}
    for place, event in enumerate(history.said.broker.events):
        if event.kind == "finished" or (event.kind == "leased" and event.attempt == 1):
            when[event.kind, event.job] = place
    for job in recorded.jobs.values():
        named = {one.name: one for one in recorded.of_build[job.build]}
        before = [named[name] for name in job.after if name in named]
        if len(before) < len(job.after):
            yield f"job {job.id} is after {job.after}, not all of build {job.build}"
        for one in before:
            history.facts["jobs after others"] += 1
            late = when.get(("finished", one.id), -1) > when.get(("leased", job.id), NEVER)
            if job.attempt and (late or not is_final(one) or stops(one)):
                yield f"job {job.id} was handed out, it is after job {one.id}, {one.outcome}"
            elif job.outcome is None and stops(one):
                yield f"job {job.id} waits for job {one.id}, which is {one.outcome}"
        because = re.fullmatch("after (.*)", job.reason or "") if job.outcome == "skipped" else None
        if because and not any(one.name == because[1] and stops(one) for one in before):
            yield f"job {job.id} was skipped {because[0]}, which does not stop it"


def said_once(history, kind, rows):
    told = set()
    for event in history.said.broker.events:
        if event.kind != kind:
            continue
        history.facts[f"{kind} events"] += 1
        number = event.job if kind == "finished" else event.build
        row = rows.get(number)
        if number in told:
            yield f"{kind} was said twice of {number}"
        told.add(number)
        if not row or row.outcome != event.outcome:
            yield f"{kind} of {number} was said: {event.outcome}; recorded: {row and row.outcome}"
        elif kind == "finished" and row.attempt != event.attempt:
            yield f"{kind} of {number} was said: attempt {event.attempt}; recorded: {row.attempt}"


def p4_the_right_verdict(history):
    """What a job does is known beforehand: its verdict says that, or a fault that was made."""
    recorded = history.recorded
    for job in recorded.jobs.values():
        expected = history.expected.get(recorded.builds[job.build].commit)
        if isinstance(expected, dict):
            expected = expected.get(job.name)
        if expected is None or job.outcome is None or job.outcome in ("lost", expected):
            history.facts["expected verdicts"] += expected is not None
            continue
        excused = any(re.search(one, job.reason or "") for one in history.excuses)
        if not excused and not is_superseded(job):
            yield f"job {job.id} should be {expected}, it is {job.outcome}: {job.reason}"


def p5_bounded_attempts(history):
    """At most three hand-outs; who lost it last is named."""
    recorded = history.recorded
    for job in recorded.jobs.values():
        attempts = recorded.of_job[job.id]
        numbers = [attempt.attempt for attempt in attempts]
        workers = ", ".join(attempt.worker for attempt in attempts)
        history.facts["attempts"] += len(numbers)
        if numbers != list(range(1, job.attempt + 1)) or job.attempt > ATTEMPTS_MAX:
            yield f"job {job.id} is at attempt {job.attempt}, its attempts are {numbers}"
        wanted = f"{ATTEMPTS_MAX} workers lost: {workers}"
        if job.outcome == "lost":
            history.facts["lost jobs"] += 1
            if job.attempt != ATTEMPTS_MAX or job.reason != wanted:
                yield f"job {job.id} is lost in attempt {job.attempt} by {workers}: {job.reason}"
        yield from open_attempts(job, attempts)


def open_attempts(job, attempts):
    """Only the newest attempt of a job that is leased has not ended."""
    for attempt in attempts:
        is_open = job.state == "leased" and attempt.attempt == job.attempt
        if (attempt.ended_at is None) != is_open:
            yield f"job {job.id} is {job.state}, its attempt {attempt.attempt} ended: {attempt.end}"


def p6_recorded_was_said(history):
    """A verdict comes from the worker that held the newest attempt, in its words."""
    said = collections.defaultdict(set)
    sizes = {}
    for worker, result in history.said.broker.results:
        said[result.job, result.attempt].add((worker, result.outcome))
        sizes[result.job, result.attempt, result.outcome] = result.log_size
    if not said:
        return  # the broker's log is not at debug level
    recorded = history.recorded
    for job in recorded.jobs.values():
        if job.outcome not in SAID_BY_WORKERS or job.attempt == 0:
            continue
        history.facts["verdicts of workers"] += 1
        key = (job.id, job.attempt)
        holder = recorded.attempts[key].worker
        if (holder, job.outcome) not in said[key]:
            came = sorted(map(str, said[key]))
            what = f"job {job.id} is {job.outcome} in attempt {job.attempt} by {holder}"
            yield f"{what}; what came is {came}"
            continue
        size, wanted = recorded.log_size(*key), sizes[(*key, job.outcome)]
        if size != wanted:
            yield f"job {job.id}: its log was said to have {wanted} bytes, stored are {size}"


def p6_acknowledged_is_recorded(history):
    """A worker forgets a result only when it is recorded, or does not count."""
    for worker in history.said.workers:
        said = {}
        for result in worker.results:
            before = said.setdefault((result.job, result.attempt), result.outcome)
            if before != result.outcome:
                yield f"{worker.name} said {before}, then {result.outcome} of job {result.job}"
        for key in worker.acknowledged:
            history.facts["result_ok received"] += 1
            yield from check_answer(history.recorded, worker, key, said.get(key), "recorded")
        for key in worker.stale:
            history.facts["stale received"] += 1
            yield from check_answer(history.recorded, worker, key, said.get(key), "stale")


def check_answer(recorded, worker, key, said, answer):
    """Stale may be the answer to a result that is repeated: then that one is recorded. What was
    said is unknown when the worker was killed between sending and logging."""
    job, attempt = recorded.jobs.get(key[0]), recorded.attempts.get(key)
    counts = job and job.attempt == key[1] and attempt and attempt.worker == worker.name
    counts = counts and job.outcome in SAID_BY_WORKERS
    other = counts and said is not None and job.outcome != said
    if other or (answer == "recorded" and not counts):
        yield (
            f"{worker.name} was told that its {said} of job {key[0]} attempt {key[1]} is {answer}; "
            f"stored is {job and job.outcome} of attempt {job and job.attempt} "
            f"by {attempt and attempt.worker}"
        )


def p6_leased_before_offered(history):
    """Each offer stands in the store, for that worker; attempts only grow."""
    recorded = history.recorded
    for worker in history.said.workers:
        for offer in worker.offers:
            history.facts["offers received"] += 1
            row = recorded.attempts.get(offer)
            what = f"{worker.name} was offered job {offer.job} attempt {offer.attempt}; stored"
            if not row or row.worker != worker.name:
                yield f"{what} is {row and row.worker}"
            elif worker.sessions and row.session not in worker.sessions:
                yield f"{what} is a session that it never had"
        yield from only_growing(worker.offers, f"{worker.name} was offered")
    yield from only_growing(history.said.broker.offers, "the broker offered")


def only_growing(offers, who):
    """An offer that was lost on its way is repeated: the same attempt once more."""
    newest = collections.defaultdict(int)
    for job, attempt in offers:
        if attempt < newest[job]:
            yield f"{who} job {job} attempt {attempt} after attempt {newest[job]}"
        newest[job] = attempt


def p8_log_is_kept(history):
    """Log bytes that were acknowledged are there, and no line is there twice, or missing."""
    recorded = history.recorded
    for worker in history.said.workers:
        for (job, attempt), offset in worker.log_ok.items():
            history.facts["logs acknowledged"] += 1
            size = recorded.log_size(job, attempt)
            if size < offset:
                yield f"{worker.name} was told that job {job} has {offset} bytes stored, not {size}"
    for attempt in recorded.attempts.values():
        job = recorded.jobs[attempt.job]
        whole = attempt.attempt == job.attempt and job.outcome in ("passed", "failed")
        log = recorded.log(attempt.job, attempt.attempt)
        owner = (recorded.builds[job.build].commit, job.name, str(attempt.attempt))
        if CUT not in log:
            what = f"job {job.id} attempt {attempt.attempt}"
            yield from check_lines(history, what, "/".join(owner), log, whole)


def check_lines(history, what, owner, log, whole):
    """A job may print `NAME line 1 of 3`, `NAME line 2 of 3` ...: these must be in order. A name
    that says COMMIT/JOB/ATTEMPT must be this one."""
    series = collections.defaultdict(list)
    for name, number, last in COUNTED_LINE.findall(log):
        series[name].append((int(number), int(last)))
    for name, lines in series.items():
        history.facts["lines of logs"] += len(lines)
        wanted = lines[0][1] if whole else len(lines)
        numbers = [number for number, _ in lines]
        if OWNER.match(name) and name.decode() != owner:
            yield f"{what}: the log has lines of {name.decode()}"
        if numbers != list(range(1, wanted + 1)):
            yield f"{what}: of {wanted} lines of {name.decode()} there are {shorten(numbers)}"


def shorten(numbers):
    text = " ".join(map(str, numbers))
    return text if len(text) < 60 else f"{text[:30]} ... {text[-30:]} ({len(numbers)})"


def p8_shown_is_recorded(history):
    """What was ever shown is in the store, unchanged."""
    for answer in history.shown:
        for row in rows_of(answer):
            if "kind" in row:
                history.facts["events followed"] += 1
                yield from check_followed(history.recorded, row)
            elif "run" in row:
                history.facts["builds shown"] += 1
                yield from check_shown_build(history.recorded, row)
            else:
                history.facts["jobs shown"] += 1
                yield from check_shown_job(history.recorded, row)


def rows_of(answer):
    """Every build, job and event in an answer, however deep."""
    if isinstance(answer, list):
        for one in answer:
            yield from rows_of(one)
    elif isinstance(answer, dict):
        event = "kind" in answer and "sequence" in answer
        if event or "run" in answer or ("job" in answer and "state" in answer):
            yield answer
        for one in answer.values():
            yield from rows_of(one)


def check_followed(recorded, row):
    """An event may be missed, it is never wrong."""
    kind = row["kind"]
    build, job = recorded.builds.get(row.get("build")), recorded.jobs.get(row.get("job"))
    attempt = recorded.attempts.get((row.get("job"), row.get("attempt")))
    what = f"the event {kind} of build {row.get('build')} job {row.get('job')} was sent"
    if kind in ("accepted", "verdict") and (not build or build.commit != row["commit"]):
        yield f"{what} with {row['commit']}, recorded is {build}"
    elif kind == "verdict" and build.outcome != row["outcome"]:
        yield f"{what} with {row['outcome']}, recorded is {build}"
    elif kind == "finished" and (not job or job.outcome != row["outcome"]):
        yield f"{what} with {row['outcome']}, recorded is {job}"
    elif kind in ("leased", "requeued") and (not attempt or attempt.worker != row["worker"]):
        yield f"{what} with {row['worker']}, recorded is {attempt}"


def check_shown_build(recorded, row):
    build = recorded.builds.get(row["build"])
    shown = (row["repository"], row["ref"], row["commit"], row["run"])
    what = f"build {row['build']} was shown as {row['outcome']}"
    if not build or (build.repository, build.ref, build.commit, build.run) != shown:
        yield f"{what} and {shown}, recorded is {build}"
    elif row["outcome"] and row["outcome"] != build.outcome:
        yield f"{what}, recorded is {build.outcome}"
    elif row["outcome"] and row["unfinished"]:
        yield f"{what} with {row['unfinished']} jobs unfinished"


def check_shown_job(recorded, row):
    job = recorded.jobs.get(row["job"])
    number = row["attempt"] or 0
    attempt = recorded.attempts.get((row["job"], number))
    what = f"job {row['job']} was shown as {row['outcome']} in attempt {number}"
    if not job or (job.name, job.build) != (row["name"], row["build"]):
        yield f"{what}, named {row['name']} in build {row['build']}; recorded is {job}"
    elif number > job.attempt or (number and (not attempt or attempt.worker != row["worker"])):
        yield f"{what} by {row['worker']}, recorded is {attempt}"
    elif (row["state"] == "final") != (row["outcome"] is not None):
        yield f"{what} while {row['state']}"
    elif row["outcome"]:
        shown = (row["outcome"], row["reason"], number)
        if shown != (job.outcome, job.reason, job.attempt):
            yield f"{what}: {row['reason']}; recorded is {job}"


def p10_state_graph(history):
    """queued -> leased -> queued ... -> final, attempts growing. A killed broker may not have said
    all it recorded, so steps may be missing, but none may be out of order."""
    newest, final = collections.defaultdict(int), set()
    for event in history.said.broker.events:
        if not event.job or event.kind not in ("leased", "requeued", "finished"):
            continue
        history.facts["steps of jobs"] += 1
        before = newest[event.job]
        # A worker can come back to its ended lease, and lose that again.
        grew = event.attempt > before if event.kind == "leased" else event.attempt >= before
        what = f"job {event.job} was {event.kind} in attempt {event.attempt}"
        if event.job in final:
            yield f"{what} after it had finished"
        elif not grew:
            yield f"{what} after attempt {before}"
        newest[event.job] = event.attempt
        if event.kind == "finished":
            final.add(event.job)
        row = history.recorded.attempts.get((event.job, event.attempt))
        if event.attempt and (not row or (event.worker and row.worker != event.worker)):
            yield f"{what} by {event.worker}, recorded is {row and row.worker}"


def results_are_files(history):
    """results/COMMIT/JOB.txt says what is recorded, and holds the log. A broker that was killed
    writes those at its next start that it knows to be unwritten."""
    recorded = history.recorded
    wanted = collections.defaultdict(list)
    for job in recorded.jobs.values():
        if job.state == "final":
            wanted[recorded.builds[job.build].commit, job.name].append(job)
    for (commit, name), jobs in wanted.items():
        history.facts["result files"] += 1
        found = recorded.result(commit, name)
        path = f"results/{commit}/{name}.txt"
        if found is None:
            if recorded.is_closed or not any(job.id in recorded.unwritten for job in jobs):
                yield f"{path} is missing"
        elif not any(found == result_file(recorded, job) for job in jobs):
            first = found.partition(b"\n")[0].decode(errors="replace")
            yield (
                f"{path} begins with '{first}' and has {len(found)} bytes; "
                f"recorded is {jobs[-1].outcome}: {jobs[-1].reason}"
            )


def result_file(recorded, job):
    headline = f"{job.outcome}: {job.reason}" if job.reason else job.outcome
    return headline.encode() + b"\n" + recorded.log(job.id, job.attempt)


def nothing_left(history):
    """No process, no workspace, no half-written file."""
    for what in history.processes:
        yield f"still runs: {what}"
    if not history.settled:
        return
    for folder in history.workers:
        for place in ("jobs", "damaged"):
            path = os.path.join(folder, place)
            for name in sorted(os.listdir(path)) if os.path.isdir(path) else []:
                yield f"{os.path.basename(folder)}/{place}/{name} was left"
    again = written_again(history.recorded)
    for folder in [history.recorded.folder, *history.workers, *history.observers]:
        history.facts["folders looked through"] += 1
        for path in half_written(folder):
            if path not in again:
                yield f"{os.path.relpath(path, os.path.dirname(folder))} was left"


def written_again(recorded):
    """Half-written files that the broker's next start replaces: its row `unwritten` stays until the
    file is synced, and each start writes it once more."""
    jobs = [job for job in recorded.jobs.values() if job.id in recorded.unwritten]
    return {f"{recorded.result_path(recorded.builds[job.build].commit, job.name)}.new" for job in jobs}


def half_written(folder):
    for place, folders, names in os.walk(folder):
        for name in folders + names:
            lock = name.endswith(".lock") and is_git(place)
            if name.endswith((".new", "-journal", "-shm")) or lock:
                yield os.path.join(place, name)


def is_git(place):
    """Is this inside a bare repository? Beside a mirror lies a lock of ours, which stays."""
    while len(place) > 1:
        if os.path.exists(os.path.join(place, "HEAD")):
            return True
        place = os.path.dirname(place)
    return False


CHECKS = (
    ("P1", p1_accepted_is_stored),
    ("P2", p2_no_gap),
    ("P3", p3_once),
    ("P4", p4_one_verdict),
    ("P4", p4_after_others),
    ("P4", p4_the_right_verdict),
    ("P5", p5_bounded_attempts),
    ("P6", p6_recorded_was_said),
    ("P6", p6_acknowledged_is_recorded),
    ("P6", p6_leased_before_offered),
    ("P8", p8_log_is_kept),
    ("P8", p8_shown_is_recorded),
    ("P10", p10_state_graph),
    ("results", results_are_files),
    ("left", nothing_left),
)
