# weakneg: which negative bags should a classifier of weakly labelled data train on?
#
#   snakemake --cores all            the studies that config.yaml names
#   snakemake --cores all cifar10    one study, by name (a file of workflow/studies)
#   snakemake -n                     what would run, and why
#
# Results of a study: results/<study>/{report.html,metrics.csv,tables,figures}.

from snakemake.utils import min_version

min_version("9.27")


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/audio.smk"
include: "workflow/rules/bags.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        lambda _: [file for study in CONFIG.default_studies for file in requested(study)],


for study in CONFIG.study_names:
    if study == "published" or workflow.is_rule(study):
        sys.exit(
            f"error: a study cannot be called {study}: the workflow uses that name; rename it."
        )

    rule:
        name:
            study
        input:
            lambda _, study=study: requested(study),


onstart:
    check_executor()
    checked(start.check_packages, {job.rule.name for job in workflow.dag.needrun_jobs()})
    acquiring = [job for job in workflow.dag.needrun_jobs() if job.rule.name == "acquire_shard"]
    checked(
        start.check_sources,
        [results_of(study) for study in {job.wildcards.study for job in acquiring}],
    )
    checked(
        check_writable,
        {
            Path(file).parent
            for job in workflow.dag.needrun_jobs()
            for file in (*job.output, *job.log)
        },
    )
    keep()
    record_code(job.params.get("code", []) for job in workflow.dag.needrun_jobs())
    if workflow.local_exec:
        warm.start()
    watch.announce(workflow, results_of)
    start.collect_garbage_again()


onsuccess:
    watch.end()
    start.leave()
    highlights = [file for study in REQUESTED for file in results_of(study).highlights]
    if highlights:
        print("\nFinished. Figures, tables and page:", *highlights, sep="\n  ")


onerror:
    watch.end()
    start.leave()
    print(f"\n{start.failure(log)}")
