# From the selections of all runs to what they have in common, and which negatives they return to.


rule audit_selections:
    input:
        run_files("selection.h5", "run.json"),
        ontology_files,
        manifests=training_manifests,
    output:
        expand("results/{{study}}/tables/{table}", table=AUDIT_TABLES),
    log:
        "results/{study}/logs/audit_selections.log",
    localrule: True
    conda:
        "../../envs/weakneg.yaml"
    params:
        runs=run_pairs,
        settings=settings_of("report"),
        dataset=lambda wildcards: study_of(wildcards).dataset.name,
        data_folder=data_folder,
        folder=subpath(output[0], parent=True),
        code=audit_code,
    shell:
        "python -m weakneg audit_selections --runs {params.runs} --manifests {input.manifests}"
        " --settings {params.settings:q} --dataset {params.dataset}"
        " --data-folder {params.data_folder:q} --folder {params.folder}"
        " --code {params.code} 2> {log}"


rule draw_selection:
    input:
        overlap="results/{study}/tables/selection_overlap.csv",
        turnover="results/{study}/tables/selection_turnover.csv",
    output:
        report(
            "results/{study}/figures/selection.png",
            category="{study}",
            caption="../report/selection.rst",
        ),
        expand(
            "results/{{study}}/figures/selection.{ext}",
            ext=[ext for ext in FORMATS if ext != "png"],
        ),
    log:
        "results/{study}/logs/draw_selection.log",
    localrule: True
    conda:
        "../../envs/weakneg.yaml"
    params:
        settings=settings_of("report"),
        code=code_of("draw_selection"),
    shell:
        "python -m weakneg draw_selection --overlap {input.overlap} --turnover {input.turnover}"
        " --settings {params.settings:q} --outputs {output} --code {params.code} 2> {log}"
