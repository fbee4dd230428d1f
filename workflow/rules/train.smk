# For each class and run, one job trains all seeds and another scores the test bags.


# Initial weights of models, downloaded once.
rule fetch_imagenet:
    output:
        "resources/imagenet/{model}.pth",
    log:
        "resources/imagenet/{model}.log",
    localrule: True
    conda:
        "../../envs/weakneg.yaml"
    params:
        model=lambda wildcards: wildcards.model,
    shell:
        "python -m weakneg fetch_imagenet --model {params.model} --output {output} 2> {log}"


rule train_run:
    input:
        store="results/{study}/features/train.h5",
        manifest=manifest("train"),
        weights=of_results("initial_weights"),
        noise=of_results("noise"),
    output:
        model="results/{study}/runs/{class_slug}/{run}/model.pt",
        history="results/{study}/runs/{class_slug}/{run}/history.parquet",
        timing="results/{study}/runs/{class_slug}/{run}/timing.parquet",
        selection="results/{study}/runs/{class_slug}/{run}/selection.h5",
        record=report(
            "results/{study}/runs/{class_slug}/{run}/run.json",
            category="{study}",
            subcategory="Runs",
            labels={"class": "{class_slug}", "strategy": "{run}"},
            caption="../report/run.rst",
        ),
    log:
        "results/{study}/logs/train_run/{class_slug}/{run}.log",
    conda:
        "../../envs/weakneg.yaml"
    # Two jobs with one thread each are faster than one job with two.
    threads: 1
    # In 400 runs of AudioSet and CIFAR-10 on CPUs, all but one needed less than 1.5 GB, and none
    # needed more than 2.9 GB or 8 minutes.
    resources:
        gpu=1,
        mem_mb=grows_from(4000),
        runtime=grows_from(60),
    params:
        run=subpath(output.model, parent=True),
        class_name=class_name,
        settings=settings_of(stages.RunSettings, "run"),
        code=code_for(stages.RunSettings, "run"),
    shell:
        "python -m weakneg train_run --study {wildcards.study} --class-name {params.class_name:q}"
        " --strategy {wildcards.run} --settings {params.settings:q}"
        " --store {input.store} --manifest {input.manifest} --weights {input.weights}"
        " --noise {input.noise}"
        " --run {params.run}"
        " --threads {threads} --code {params.code:q} 2> {log}"


rule score_run:
    input:
        store="results/{study}/features/test.h5",
        manifest=manifest("test"),
        model="results/{study}/runs/{class_slug}/{run}/model.pt",
    output:
        "results/{study}/runs/{class_slug}/{run}/scores.parquet",
    log:
        "results/{study}/logs/score_run/{class_slug}/{run}.log",
    conda:
        "../../envs/weakneg.yaml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=grows_from(4000),
        runtime=grows_from(20),
    params:
        class_name=class_name,
        settings=settings_of(stages.ScoreSettings),
        code=code_for(stages.ScoreSettings),
    shell:
        "python -m weakneg score_run --class-name {params.class_name:q} --settings {params.settings:q}"
        " --store {input.store} --manifest {input.manifest} --model {input.model}"
        " --output {output} --threads {threads}"
        " --code {params.code} 2> {log}"
