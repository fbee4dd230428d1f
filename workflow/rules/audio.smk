# From recordings to spectrograms or embeddings, in shards: `build_features` joins them.


rule list_recordings:
    input:
        of_results("data_files"),
    output:
        "results/{study}/audio/recordings.csv",
    log:
        "results/{study}/logs/list_recordings.log",
    localrule: True
    conda:
        "../../envs/weakneg.yaml"
    params:
        settings=settings_of(stages.ListSettings),
        folder=of_results("data_folder"),
        code=code_for(stages.ListSettings),
    shell:
        "python -m weakneg list_recordings --settings {params.settings:q} --folder {params.folder:q}"
        " --output {output} --code {params.code} 2> {log}"


rule acquire_shard:
    input:
        published_lists,
    output:
        "results/{study}/audio/{split}/{shard}.csv",
    log:
        "results/{study}/logs/acquire_shard/{split}/{shard}.log",
    conda:
        "../../envs/weakneg.yaml"
    # A change of parameters reruns a job. The limits on requests must not, so they are resources.
    resources:
        downloads=lambda wildcards: int(results_of(wildcards.study).study.downloads),
        runtime=lambda wildcards, attempt: results_of(wildcards.study).acquire_minutes(attempt),
        politeness=of_results("politeness"),
    params:
        settings=settings_of(stages.AcquireSettings, "split", "shard"),
        data_folder=of_results("data_folder"),
        folder=of_results("sound_folder"),
        audio_folder=of_results("audio_folder"),
        code=code_for(stages.AcquireSettings, "split", "shard"),
    shell:
        "python -m weakneg acquire_shard --settings {params.settings:q}"
        " --data-folder {params.data_folder:q} --folder {params.folder:q}"
        " --split {wildcards.split} --shard {wildcards.shard} --audio-folder {params.audio_folder:q}"
        " --politeness {resources.politeness:q} --output {output} --code {params.code} 2> {log}"


# How many recordings of each class are available.
rule count_acquired:
    input:
        recordings="results/{study}/audio/recordings.csv",
        status=of_results("status_tables"),
    output:
        table="results/{study}/tables/acquired.csv",
        text="results/{study}/tables/acquired.md",
    log:
        "results/{study}/logs/count_acquired.log",
    conda:
        "../../envs/weakneg.yaml"
    params:
        title=of_study("title"),
        code=checked(code, "count_acquired"),
    shell:
        "python -m weakneg count_acquired --recordings {input.recordings} --status {input.status}"
        " --study {wildcards.study} --title {params.title:q} --table {output.table} --text {output.text}"
        " --code {params.code} 2> {log}"


rule compute_shard:
    input:
        "results/{study}/audio/{split}/{shard}.csv",
    output:
        "results/{study}/features/shards/{split}/{shard}.h5",
    log:
        "results/{study}/logs/compute_shard/{split}/{shard}.log",
    cache: SHARED
    conda:
        "../../envs/weakneg.yaml"
    threads: 1
    params:
        settings=settings_of(stages.ShardSettings),
        sound=lambda wildcards, input: (
            results.sound_of_shard(wildcards.split, wildcards.shard, input[0]) if SHARED else []
        ),
        code=code_for(stages.ShardSettings),
    shell:
        "python -m weakneg compute_shard --settings {params.settings:q} --status {input}"
        " --output {output} --threads {threads} --code {params.code} 2> {log}"


# The file of the encoder is a resource: the settings have its digest, so that a copy reruns nothing.
rule embed_shard:
    input:
        "results/{study}/audio/{split}/{shard}.csv",
    output:
        "results/{study}/features/embeddings/{split}/{shard}.h5",
    log:
        "results/{study}/logs/embed_shard/{split}/{shard}.log",
    cache: SHARED
    conda:
        "../../envs/weakneg.yaml"
    threads: 1
    resources:
        encoder=lambda wildcards: results_of(wildcards.study).study.encoder.file,
    params:
        settings=settings_of(stages.EmbeddingSettings),
        sound=lambda wildcards, input: (
            results.sound_of_shard(wildcards.split, wildcards.shard, input[0]) if SHARED else []
        ),
        code=code_for(stages.EmbeddingSettings),
    shell:
        "python -m weakneg embed_shard --settings {params.settings:q} --status {input}"
        " --encoder {resources.encoder:q} --output {output} --threads {threads}"
        " --code {params.code} 2> {log}"


# Background noise for augmentation.
rule prepare_noise:
    input:
        noise_files,
    output:
        table="results/{study}/audio/noise.csv",
        waveforms="results/{study}/features/noise.h5",
    log:
        "results/{study}/logs/prepare_noise.log",
    conda:
        "../../envs/weakneg.yaml"
    threads: 1
    params:
        settings=settings_of(stages.NoiseClipSettings),
        folder=noise_folder,
        code=code_for(stages.NoiseClipSettings),
    shell:
        "python -m weakneg prepare_noise --settings {params.settings:q} --folder {params.folder:q}"
        " --table {output.table} --output {output.waveforms} --threads {threads}"
        " --code {params.code} 2> {log}"
