"""The page itself: what is on it, and one handler for each thing that can be done. Each asks first who asks.

    blocks = build(Desk(access, jobs, recipes, results))        a gr.Blocks, to be mounted

A handler gets the request and asks `access` before it looks at anything else; `guarded` is the only way to become one.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from eval.common.errors import ProjectError, UserError
from eval.config.suite_file import DEFAULT_SUITE
from eval.report.svg import DARK, LIGHT, colour_rules
from spaces.trainer import views
from spaces.trainer.access import Access, Denied
from spaces.trainer.choices import HERE, Order, places, recipes_in, suites
from spaces.trainer.jobs import Jobs
from spaces.trainer.recipe_facts import estimate_of, facts_of, last_rehearsal, preflight_lines
from spaces.trainer.reports import decide, evaluated_runs, show

FIRST = "smollm2-135m-cpu"  # as the Makefile's RECIPE
CPU_SUITE = "demo"
EVERY_SECONDS = 2.0  # the page looks at the job
HOURS, BUDGET = 2.0, 5.0  # what the fields say at first
STYLE = (
    Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    + colour_rules(LIGHT)
    + colour_rules(DARK).replace(".fig ", ".dark .fig ")
)


@dataclass(frozen=True)
class Desk:
    """What the handlers work with."""

    access: Access
    jobs: Jobs
    recipes: Path
    results: Path

    def guarded(self, act: Callable[..., Any]) -> Callable[..., Any]:
        """A handler: `act(user, *values)` for a user who may; gr.Error, and nothing done, for anybody else."""

        def handler(request: gr.Request, *values: Any) -> Any:
            try:
                user = self.access.user(request)
            except Denied as denied:
                raise gr.Error(str(denied), print_exception=False) from None
            try:
                return act(user, *values)
            except ProjectError as error:
                raise gr.Error(views.text(error), print_exception=False) from None

        handler.__name__ = act.__name__
        return handler

    def recipe(self, name: str) -> Path:
        """The file of a recipe of the list."""
        known = recipes_in(self.recipes)
        if name not in known:
            raise UserError(f"no recipe {str(name)[:100]!r}: choose one of {', '.join(known)}")
        return known[name]

    def first_recipe(self) -> str | None:
        """The one that is chosen at first."""
        names = list(recipes_in(self.recipes))
        return FIRST if FIRST in names else next(iter(names), None)

    def describe(self, user: str, name: str, where: str, hours: float, budget: float) -> str:
        path = self.recipe(name)
        estimate = estimate_of(path, where, hours or 0.0, budget or 0.0, self.results)
        return views.facts(facts_of(path), estimate, last_rehearsal(path))

    def choose(self, user: str, name: str, where: str, hours: float, budget: float) -> tuple[Any, ...]:
        """Another recipe: its facts, the suite that fits, and nothing agreed to yet."""
        suite = CPU_SUITE if facts_of(self.recipe(name)).cpu else DEFAULT_SUITE.stem
        return self.describe(user, name, where, hours, budget), suite, "", False

    def place(self, user: str, name: str, where: str, hours: float, budget: float) -> tuple[Any, ...]:
        """Another place or limit: the estimate changes with it."""
        return self.describe(user, name, where, hours, budget), gr.Group(visible=where != HERE), False

    def preflight(self, user: str, name: str) -> str:
        return views.checks(preflight_lines(self.recipe(name)))

    def start(self, user: str, *asked: Any) -> tuple[Any, ...]:
        """Start a training. Not without the tick, wherever the request comes from."""
        recipe, suite, where, hours, budget, agreed = asked
        if agreed is not True:
            raise UserError("tick that you have read what it takes, and start again")
        limits = {} if where == HERE else {"max_hours": float(hours or 0), "budget": float(budget or 0)}
        return self.begin(Order(kind="train", recipe=recipe, suite=suite, where=where, user=user, **limits))

    def rehearse(self, user: str, recipe: str) -> tuple[Any, ...]:
        return self.begin(Order(kind="rehearse", recipe=recipe, suite=DEFAULT_SUITE.stem, user=user))

    def begin(self, order: Order) -> tuple[Any, ...]:
        job = self.jobs.start(order.model_copy(update={"recipes": str(self.recipes)}))
        said = f"Started: {order.recipe}. It goes on when this page is closed."
        return views.notice(said), False, views.job(job), views.log(job), gr.Button(interactive=True)

    def stop(self, user: str) -> str:
        job = self.jobs.stop()
        return views.notice(f"Stopping {job.order.recipe}: training saves a checkpoint first.", "unsure")

    def look(self, user: str, before: str) -> tuple[Any, ...]:
        """The job as it is now, sent only when it changed; a job that has just ended may have left a run."""
        job = self.jobs.latest()
        now = job.mark if job else "none"
        if now == before:
            return (gr.skip(),) * 5
        running = gr.Button(interactive=job is not None and job.running)
        return views.job(job), views.log(job), running, gr.Dropdown(choices=evaluated_runs(self.results)), now

    def show_run(self, user: str, name: str | None) -> tuple[Any, ...]:
        if not name:
            return "", "", "", gr.Button(interactive=False), gr.Button(interactive=False)
        shown = show(name, self.results)
        buttons = gr.Button(interactive=shown.approvable), gr.Button(interactive=True)
        return views.verdict(shown), views.report(shown), shown.seen, *buttons

    def decide(self, user: str, decision: str, name: str, seen: str, comment: str) -> tuple[Any, ...]:
        review = decide(name or "", seen or "", decision, user, comment or "", self.results)
        said = views.notice(f"Recorded: {review.decision} by {review.reviewer}.")
        return said, views.verdict(show(name, self.results))


def build(desk: Desk) -> gr.Blocks:
    """The page. What only an allowed user may see is put in by `load`, never here."""
    with gr.Blocks(title="SecureCLI-Tuner", analytics_enabled=False) as blocks:
        page = Page(desk)
        page.lay_out()
        page.connect(blocks)
    return blocks


class Page:
    """Components, top to bottom, and which handler belongs to which."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def lay_out(self) -> None:
        self.who = gr.HTML(elem_id="who")
        if not self.desk.access.owner:
            gr.LoginButton()
        self.inside = gr.Column(visible=False)
        with self.inside, gr.Tabs(selected="train") as self.tabs:
            with gr.Tab("Train", id="train"):
                self.lay_out_training()
            with gr.Tab("Reports", id="reports"):
                self.lay_out_reports()
        self.timer = gr.Timer(EVERY_SECONDS, active=False)

    def lay_out_training(self) -> None:
        names, where = list(recipes_in(self.desk.recipes)), places()
        first = next(iter(where), HERE)
        self.recipe = gr.Radio(names, value=self.desk.first_recipe(), label="Recipe", elem_id="recipe")
        self.facts = gr.HTML(elem_id="facts")
        with gr.Row():
            self.check = gr.Button("Check this machine", elem_id="preflight")
            self.rehearse = gr.Button("Rehearse", elem_id="rehearse", interactive=HERE in where)
        self.checks = gr.HTML(elem_id="checks")
        with gr.Row():
            self.suite = gr.Dropdown(list(suites()), value=DEFAULT_SUITE.stem, label="Evaluated with", elem_id="suite")
            choices = [(label, name) for name, label in where.items()]
            self.where = gr.Radio(choices, value=first, label="Where", elem_id="where")
        with gr.Group(visible=first != HERE) as self.limits, gr.Row():
            self.hours = gr.Number(HOURS, label="At most, hours", minimum=0.1, elem_id="hours")
            self.budget = gr.Number(BUDGET, label="Budget, US dollars", minimum=0.1, elem_id="budget")
        self.agreed = gr.Checkbox(False, label="I have read what it takes", elem_id="agreed")
        with gr.Row():
            self.start = gr.Button("Start training", variant="primary", elem_id="start")
            self.stop = gr.Button("Stop", variant="stop", elem_id="stop", interactive=False)
        self.said = gr.HTML(elem_id="said")
        self.job, self.log = gr.HTML(elem_id="job"), gr.HTML(elem_id="log")
        self.before = gr.State("")

    def lay_out_reports(self) -> None:
        self.run = gr.Dropdown([], label="Evaluated run", elem_id="run")
        self.verdict = gr.HTML(elem_id="verdict")
        self.report = gr.HTML(elem_id="report")
        self.seen = gr.State("")
        self.comment = gr.Textbox(label="Comment", lines=2, max_length=4000, elem_id="comment")
        with gr.Row():
            self.approve = gr.Button("Approve", variant="primary", elem_id="approve", interactive=False)
            self.reject = gr.Button("Reject", variant="stop", elem_id="reject", interactive=False)
        self.decided = gr.HTML(elem_id="decided")

    def load(self, request: gr.Request) -> tuple[Any, ...]:
        """First look: an invitation to sign in, or the page with what is there now."""
        try:
            user = self.desk.access.user(request)
        except Denied as denied:
            return views.denied(str(denied)), gr.Column(visible=False), *(gr.skip(),) * 5
        runs = evaluated_runs(self.desk.results)
        where = "this machine" if self.desk.access.owner else "Hugging Face Space"
        facts, suite = gr.skip(), gr.skip()
        if recipe := self.desk.first_recipe():
            facts, suite, *_ = self.desk.choose(user, recipe, next(iter(places()), HERE), HOURS, BUDGET)
        newest = gr.Dropdown(choices=runs, value=None)
        return views.header(user, where), gr.Column(visible=True), facts, suite, newest, gr.Timer(active=True), ""

    def connect(self, blocks: gr.Blocks) -> None:
        on: Callable[..., dict[str, Any]] = functools.partial(dict, api_visibility="private")
        desk = self.desk
        quiet = on(show_progress="hidden")
        first = [self.who, self.inside, self.facts, self.suite, self.run, self.timer, self.before]
        blocks.load(self.load, None, first, **quiet)
        chosen = [self.recipe, self.where, self.hours, self.budget]
        described = [self.facts, self.suite, self.checks, self.agreed]
        self.recipe.change(desk.guarded(desk.choose), chosen, described, **quiet)
        for field in (self.where, self.hours, self.budget):
            field.change(desk.guarded(desk.place), chosen, [self.facts, self.limits, self.agreed], **quiet)
        self.check.click(desk.guarded(desk.preflight), self.recipe, self.checks, **on())
        began = [self.said, self.agreed, self.job, self.log, self.stop]
        asked = [self.recipe, self.suite, self.where, self.hours, self.budget, self.agreed]
        self.start.click(desk.guarded(desk.start), asked, began, **quiet)
        self.rehearse.click(desk.guarded(desk.rehearse), self.recipe, began, **quiet)
        self.stop.click(desk.guarded(desk.stop), None, self.said, **quiet)
        looked = [self.job, self.log, self.stop, self.run, self.before]
        self.timer.tick(desk.guarded(desk.look), self.before, looked, **quiet)
        shown = [self.verdict, self.report, self.seen, self.approve, self.reject]
        self.run.change(desk.guarded(desk.show_run), self.run, shown, **quiet)
        for button, decision in ((self.approve, "approve"), (self.reject, "reject")):
            about = [gr.State(decision), self.run, self.seen, self.comment]
            button.click(desk.guarded(desk.decide), about, [self.decided, self.verdict], **quiet)
