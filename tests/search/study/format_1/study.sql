BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('v3.2.0.a');
CREATE TABLE studies (
	study_id INTEGER NOT NULL, 
	study_name VARCHAR(512) NOT NULL, 
	PRIMARY KEY (study_id)
);
INSERT INTO "studies" VALUES(1,'old');
CREATE TABLE study_directions (
	study_direction_id INTEGER NOT NULL, 
	direction VARCHAR(8) NOT NULL, 
	study_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	PRIMARY KEY (study_direction_id), 
	UNIQUE (study_id, objective), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_directions" VALUES(1,'MAXIMIZE',1,0);
INSERT INTO "study_directions" VALUES(2,'MINIMIZE',1,1);
CREATE TABLE study_system_attributes (
	study_system_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_system_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
CREATE TABLE study_user_attributes (
	study_user_attribute_id INTEGER NOT NULL, 
	study_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (study_user_attribute_id), 
	UNIQUE (study_id, "key"), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "study_user_attributes" VALUES(1,1,'folder','"machine:/studies/old"');
INSERT INTO "study_user_attributes" VALUES(2,1,'data','{"classes": ["airport", "bus", "park"], "devices": ["a", "b", "s1", "s4"], "split": "fold1", "training_clips": 36, "evaluation_clips": 12, "lists_sha256": "f0c576483057f7b738924bce7d30566f84895508d4a9dbf2c1d3b42de05feaf2"}');
INSERT INTO "study_user_attributes" VALUES(3,1,'device_groups','{"a": "real", "b": "real", "s1": "seen", "s4": "unseen"}');
INSERT INTO "study_user_attributes" VALUES(4,1,'files','{}');
INSERT INTO "study_user_attributes" VALUES(5,1,'teachers','{}');
INSERT INTO "study_user_attributes" VALUES(6,1,'levels','[{"split": "fold1", "start": 0, "end": 2}, {"split": "fold1", "start": 0, "end": 6}]');
INSERT INTO "study_user_attributes" VALUES(7,1,'starts','[]');
INSERT INTO "study_user_attributes" VALUES(8,1,'history','[{"at": "2026-11-29T15:18:51+00:00", "trials": 0, "settings": {"data": "tiny", "space": "isotropic", "architecture_file": null, "split": "fold1", "impulse_responses": null, "cache": null, "budget": "macs=10M", "precision": "fp16", "objectives": ["macro_accuracy", "macs"], "validation": 0.25, "unseen_devices": [], "trials": 8, "epochs": 6, "seed": 1, "early_stopping": true, "mode": "front", "fidelity": "epochs", "sampler": "tpe", "surrogate": false, "sobol": 0, "start": [], "retries": 2, "stall_s": null, "fast": false, "recipe": null, "teacher": [], "train": false, "confirms": null, "members": [], "set": {"roll_s": 0.0}, "ranges": {"width": [32, 48], "depth": [2, 3]}}}, {"at": "2026-11-29T15:24:55+00:00", "trials": 10, "changes": {"trials": [8, 11]}}]');
INSERT INTO "study_user_attributes" VALUES(9,1,'objectives','["macro_accuracy", "macs"]');
CREATE TABLE trial_heartbeats (
	trial_heartbeat_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	heartbeat DATETIME NOT NULL, 
	PRIMARY KEY (trial_heartbeat_id), 
	UNIQUE (trial_id), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_intermediate_values (
	trial_intermediate_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	step INTEGER NOT NULL, 
	intermediate_value FLOAT, 
	intermediate_value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_intermediate_value_id), 
	UNIQUE (trial_id, step), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
CREATE TABLE trial_params (
	param_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	param_name VARCHAR(512), 
	param_value FLOAT, 
	distribution_json TEXT, 
	PRIMARY KEY (param_id), 
	UNIQUE (trial_id, param_name), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_params" VALUES(1,1,'isotropic.patch',5.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 4, "high": 16}}');
INSERT INTO "trial_params" VALUES(2,1,'isotropic.width',48.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 32, "high": 192}}');
INSERT INTO "trial_params" VALUES(3,1,'isotropic.kernel',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 3, "high": 6}}');
INSERT INTO "trial_params" VALUES(4,1,'isotropic.depth',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 10}}');
INSERT INTO "trial_params" VALUES(5,1,'isotropic.columns',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(6,1,'learning_rate',0.005,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0005, "high": 0.02, "log": true}}');
INSERT INTO "trial_params" VALUES(7,1,'weight_decay',0.0001,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-06, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(8,1,'warmup_share',0.02446,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.2, "log": false}}');
INSERT INTO "trial_params" VALUES(9,1,'batch_size',32.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 32, "low": 32, "high": 256}}');
INSERT INTO "trial_params" VALUES(10,1,'mix_style_p',0.4,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.8, "log": false}}');
INSERT INTO "trial_params" VALUES(11,1,'mix_style_alpha',0.3,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.1, "high": 0.6, "log": false}}');
INSERT INTO "trial_params" VALUES(12,1,'mask_bins',48.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 8, "low": 0, "high": 96}}');
INSERT INTO "trial_params" VALUES(13,2,'isotropic.patch',15.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 4, "high": 16}}');
INSERT INTO "trial_params" VALUES(14,2,'isotropic.width',32.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 32, "high": 192}}');
INSERT INTO "trial_params" VALUES(15,2,'isotropic.kernel',6.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 3, "high": 6}}');
INSERT INTO "trial_params" VALUES(16,2,'isotropic.depth',2.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 10}}');
INSERT INTO "trial_params" VALUES(17,2,'isotropic.columns',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(18,2,'learning_rate',1.57355548604031078227e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0005, "high": 0.02, "log": true}}');
INSERT INTO "trial_params" VALUES(19,2,'weight_decay',1.17924029117455050679e-05,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-06, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(20,2,'warmup_share',1.19810933386708187708e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.2, "log": false}}');
INSERT INTO "trial_params" VALUES(21,2,'batch_size',160.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 32, "low": 32, "high": 256}}');
INSERT INTO "trial_params" VALUES(22,2,'mix_style_p',7.33176340069307097557e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.8, "log": false}}');
INSERT INTO "trial_params" VALUES(23,2,'mix_style_alpha',0.266456807548745,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.1, "high": 0.6, "log": false}}');
INSERT INTO "trial_params" VALUES(24,2,'mask_bins',16.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 8, "low": 0, "high": 96}}');
INSERT INTO "trial_params" VALUES(25,3,'isotropic.patch',8.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 4, "high": 16}}');
INSERT INTO "trial_params" VALUES(26,3,'isotropic.width',48.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 32, "high": 192}}');
INSERT INTO "trial_params" VALUES(27,3,'isotropic.kernel',4.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 3, "high": 6}}');
INSERT INTO "trial_params" VALUES(28,3,'isotropic.depth',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 10}}');
INSERT INTO "trial_params" VALUES(29,3,'isotropic.columns',4.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(30,3,'learning_rate',1.2226043902846229442e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0005, "high": 0.02, "log": true}}');
INSERT INTO "trial_params" VALUES(31,3,'weight_decay',1.04178792454766105078e-03,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-06, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(32,3,'warmup_share',6.1799197078052106602e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.2, "log": false}}');
INSERT INTO "trial_params" VALUES(33,3,'batch_size',128.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 32, "low": 32, "high": 256}}');
INSERT INTO "trial_params" VALUES(34,3,'mix_style_p',6.65205610684131198873e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.8, "log": false}}');
INSERT INTO "trial_params" VALUES(35,3,'mix_style_alpha',2.29963474951304508442e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.1, "high": 0.6, "log": false}}');
INSERT INTO "trial_params" VALUES(36,3,'mask_bins',40.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 8, "low": 0, "high": 96}}');
INSERT INTO "trial_params" VALUES(37,4,'isotropic.patch',13.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 4, "high": 16}}');
INSERT INTO "trial_params" VALUES(38,4,'isotropic.width',48.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 32, "high": 192}}');
INSERT INTO "trial_params" VALUES(39,4,'isotropic.kernel',6.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 3, "high": 6}}');
INSERT INTO "trial_params" VALUES(40,4,'isotropic.depth',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 10}}');
INSERT INTO "trial_params" VALUES(41,4,'isotropic.columns',1.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(42,4,'learning_rate',1.39067832926996915593e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0005, "high": 0.02, "log": true}}');
INSERT INTO "trial_params" VALUES(43,4,'weight_decay',5.46055295316989763865e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-06, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(44,4,'warmup_share',0.0939719298255118,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.2, "log": false}}');
INSERT INTO "trial_params" VALUES(45,4,'batch_size',160.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 32, "low": 32, "high": 256}}');
INSERT INTO "trial_params" VALUES(46,4,'mix_style_p',2.89762563900463121502e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.8, "log": false}}');
INSERT INTO "trial_params" VALUES(47,4,'mix_style_alpha',5.78779474618575484612e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.1, "high": 0.6, "log": false}}');
INSERT INTO "trial_params" VALUES(48,4,'mask_bins',64.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 8, "low": 0, "high": 96}}');
INSERT INTO "trial_params" VALUES(49,5,'isotropic.patch',13.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 4, "high": 16}}');
INSERT INTO "trial_params" VALUES(50,5,'isotropic.width',32.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 16, "low": 32, "high": 192}}');
INSERT INTO "trial_params" VALUES(51,5,'isotropic.kernel',5.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 3, "high": 6}}');
INSERT INTO "trial_params" VALUES(52,5,'isotropic.depth',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 2, "high": 10}}');
INSERT INTO "trial_params" VALUES(53,5,'isotropic.columns',3.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 1, "low": 1, "high": 4}}');
INSERT INTO "trial_params" VALUES(54,5,'learning_rate',0.000509409579971631,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0005, "high": 0.02, "log": true}}');
INSERT INTO "trial_params" VALUES(55,5,'weight_decay',7.23114893308946377059e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 1e-06, "high": 0.1, "log": true}}');
INSERT INTO "trial_params" VALUES(56,5,'warmup_share',2.20327924854746282079e-02,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.2, "log": false}}');
INSERT INTO "trial_params" VALUES(57,5,'batch_size',224.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 32, "low": 32, "high": 256}}');
INSERT INTO "trial_params" VALUES(58,5,'mix_style_p',5.13505968804030321628e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 0.8, "log": false}}');
INSERT INTO "trial_params" VALUES(59,5,'mix_style_alpha',2.71783466340693946605e-01,'{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.1, "high": 0.6, "log": false}}');
INSERT INTO "trial_params" VALUES(60,5,'mask_bins',0.0,'{"name": "IntDistribution", "attributes": {"log": false, "step": 8, "low": 0, "high": 96}}');
CREATE TABLE trial_system_attributes (
	trial_system_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_system_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_system_attributes" VALUES(1,1,'constraints:macs','-0.3538909');
INSERT INTO "trial_system_attributes" VALUES(2,2,'constraints:macs','-0.9203165');
INSERT INTO "trial_system_attributes" VALUES(3,3,'constraints:macs','0.0533363');
INSERT INTO "trial_system_attributes" VALUES(4,4,'constraints:macs','-0.8047501');
INSERT INTO "trial_system_attributes" VALUES(5,5,'constraints:macs','-0.7867645');
CREATE TABLE trial_user_attributes (
	trial_user_attribute_id INTEGER NOT NULL, 
	trial_id INTEGER, 
	"key" VARCHAR(512), 
	value_json TEXT, 
	PRIMARY KEY (trial_user_attribute_id), 
	UNIQUE (trial_id, "key"), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_user_attributes" VALUES(1,1,'origin','{"kind": "published", "architecture": "isotropic", "changes": []}');
INSERT INTO "trial_user_attributes" VALUES(2,1,'cost','{"macs": 6461091, "params": 10563, "stored_values": 11235, "peak_bytes": 63648, "precision": "fp16", "nonzero_values": 11235, "size_bytes": 21126, "nonzero_bytes": 22470}');
INSERT INTO "trial_user_attributes" VALUES(3,1,'config','{"architecture": "isotropic", "front_end": "dcase24", "num_classes": 3, "in_channels": 1, "patch": 5, "width": 48, "kernel": 3, "depth": 3, "columns": 1, "epochs": 6, "batch_size": 32, "seed": 1, "optimizer": "adamw", "learning_rate": 0.005, "weight_decay": 0.0001, "momentum": 0.0, "schedule": "cosine", "warmup_share": 0.02446, "plateau_share": 0.0, "final_share": 0.0, "restart_epochs": "", "roll_s": 0.0, "pitch_semitones": 0.0, "impulse_response_p": 0.0, "simulated_devices": 0, "simulated_clips": 7500, "spectrum_correction": false, "mel_top_drop": 0.0, "warp_frames": 0, "shift_frames": 0.0, "mask_bins": 48, "mask_frames": 0, "mix_style_p": 0.4, "mix_style_alpha": 0.3, "mixture_mask_share": 0.0, "mixture_mask_p": 0.5, "mixup_alpha": 0.0, "mixup_between": false, "label_smoothing": 0.0, "focal_gamma": 0.0, "drop_f": 0.0, "drop_b": 0.0, "adversarial_weight": 0.0, "critic_weight": 0.0, "critic_penalty": 10.0, "cross_gradient_share": 0.0, "cross_gradient_step": 1.0, "distill_weight": 0.0, "distill_temperature": 5.0, "swa_epochs": 0, "ema_decay": 0.0, "prune_to": 0, "prune_share": 0.6, "quantize_share": 0.0, "test_copies": 0}');
INSERT INTO "trial_user_attributes" VALUES(5,1,'epoch:1','{"epoch": 1, "split": "fold1", "train_loss": 1.0942518711090088, "macro_accuracy": 0.3333333333333333, "log_loss": 1.104300672809283, "unseen_accuracy": null, "worst_device_accuracy": 0.25, "duration_s": 8.155221857000015}');
INSERT INTO "trial_user_attributes" VALUES(6,1,'epoch:2','{"epoch": 2, "split": "fold1", "train_loss": 1.0723038911819458, "macro_accuracy": 0.3333333333333333, "log_loss": 1.101597751180331, "unseen_accuracy": null, "worst_device_accuracy": 0.25, "duration_s": 5.071126289999938}');
INSERT INTO "trial_user_attributes" VALUES(7,1,'paused','2');
INSERT INTO "trial_user_attributes" VALUES(8,2,'cost','{"macs": 796835, "params": 12131, "stored_values": 12451, "peak_bytes": 18816, "precision": "fp16", "nonzero_values": 12451, "size_bytes": 24262, "nonzero_bytes": 24902}');
INSERT INTO "trial_user_attributes" VALUES(9,2,'config','{"architecture": "isotropic", "front_end": "dcase24", "num_classes": 3, "in_channels": 1, "patch": 15, "width": 32, "kernel": 6, "depth": 2, "columns": 1, "epochs": 6, "batch_size": 160, "seed": 1, "optimizer": "adamw", "learning_rate": 0.0015735554860403108, "weight_decay": 1.1792402911745505e-05, "momentum": 0.0, "schedule": "cosine", "warmup_share": 0.11981093338670819, "plateau_share": 0.0, "final_share": 0.0, "restart_epochs": "", "roll_s": 0.0, "pitch_semitones": 0.0, "impulse_response_p": 0.0, "simulated_devices": 0, "simulated_clips": 7500, "spectrum_correction": false, "mel_top_drop": 0.0, "warp_frames": 0, "shift_frames": 0.0, "mask_bins": 16, "mask_frames": 0, "mix_style_p": 0.7331763400693071, "mix_style_alpha": 0.266456807548745, "mixture_mask_share": 0.0, "mixture_mask_p": 0.5, "mixup_alpha": 0.0, "mixup_between": false, "label_smoothing": 0.0, "focal_gamma": 0.0, "drop_f": 0.0, "drop_b": 0.0, "adversarial_weight": 0.0, "critic_weight": 0.0, "critic_penalty": 10.0, "cross_gradient_share": 0.0, "cross_gradient_step": 1.0, "distill_weight": 0.0, "distill_temperature": 5.0, "swa_epochs": 0, "ema_decay": 0.0, "prune_to": 0, "prune_share": 0.6, "quantize_share": 0.0, "test_copies": 0}');
INSERT INTO "trial_user_attributes" VALUES(11,2,'epoch:1','{"epoch": 1, "split": "fold1", "train_loss": 1.1055059432983398, "macro_accuracy": 0.3333333333333333, "log_loss": 1.097371369600296, "unseen_accuracy": null, "worst_device_accuracy": 0.25, "duration_s": 8.506735628999877}');
INSERT INTO "trial_user_attributes" VALUES(12,2,'epoch:2','{"epoch": 2, "split": "fold1", "train_loss": 1.0937260389328003, "macro_accuracy": 0.3333333333333333, "log_loss": 1.0955932140350342, "unseen_accuracy": null, "worst_device_accuracy": 0.25, "duration_s": 2.965734988999884}');
INSERT INTO "trial_user_attributes" VALUES(13,2,'epoch:3','{"epoch": 3, "split": "fold1", "train_loss": 1.044705867767334, "macro_accuracy": 0.3333333333333333, "log_loss": 1.0940567950407665, "unseen_accuracy": null, "worst_device_accuracy": 0.25, "duration_s": 9.649498101000063}');
INSERT INTO "trial_user_attributes" VALUES(14,2,'epoch:4','{"epoch": 4, "split": "fold1", "train_loss": 1.0764260292053223, "macro_accuracy": 0.3333333333333333, "log_loss": 1.0929506520430248, "unseen_accuracy": null, "worst_device_accuracy": 0.25, "duration_s": 6.379965326000047}');
INSERT INTO "trial_user_attributes" VALUES(15,2,'epoch:5','{"epoch": 5, "split": "fold1", "train_loss": 1.0362823009490967, "macro_accuracy": 0.3333333333333333, "log_loss": 1.0918860733509064, "unseen_accuracy": null, "worst_device_accuracy": 0.25, "duration_s": 8.049763555000027}');
INSERT INTO "trial_user_attributes" VALUES(16,2,'epoch:6','{"epoch": 6, "split": "fold1", "train_loss": 0.9975872039794922, "macro_accuracy": 0.3333333333333333, "log_loss": 1.0912871658802032, "unseen_accuracy": null, "worst_device_accuracy": 0.25, "duration_s": 6.977146478000122}');
INSERT INTO "trial_user_attributes" VALUES(17,2,'quality','{"macro_accuracy": 0.3333333333333333, "accuracy": 0.3333333333333333, "log_loss": 1.0912871658802032, "classes": ["airport", "bus", "park"], "confusion": [[0, 4, 0], [0, 4, 0], [0, 4, 0]], "by_class": {"airport": {"clips": 4, "accuracy": 0.0, "log_loss": 1.0949599146842957}, "bus": {"clips": 4, "accuracy": 1.0, "log_loss": 1.0162550508975983}, "park": {"clips": 4, "accuracy": 0.0, "log_loss": 1.1626465320587158}}, "by_device": {"a": {"clips": 4, "accuracy": 0.25, "log_loss": 1.1017799973487854}, "b": {"clips": 4, "accuracy": 0.25, "log_loss": 1.0998355150222778}, "s1": {"clips": 4, "accuracy": 0.5, "log_loss": 1.0722459852695465}}, "by_group": {"real": {"clips": 8, "accuracy": 0.25, "log_loss": 1.1008077561855316}, "seen": {"clips": 4, "accuracy": 0.5, "log_loss": 1.0722459852695465}}}');
INSERT INTO "trial_user_attributes" VALUES(18,2,'versions','{"python": "3.11.7", "scenefront": "0.1.0", "numpy": "2.4.6", "optuna": "5.0.0", "ray": "2.60.0", "torch": "2.13.0+cpu", "torchaudio": "2.11.0", "step": "fp32, channels first"}');
INSERT INTO "trial_user_attributes" VALUES(19,3,'cost','{"macs": 10533363, "params": 43683, "stored_values": 46083, "peak_bytes": 73728, "precision": "fp16", "nonzero_values": 46083, "size_bytes": 87366, "nonzero_bytes": 92166}');
INSERT INTO "trial_user_attributes" VALUES(20,3,'rejected','{"kind": "over macs", "reason": "over budget macs=10M: macs 10,533,363 > 10,000,000 (1.05x)"}');
INSERT INTO "trial_user_attributes" VALUES(21,4,'cost','{"macs": 1952499, "params": 21363, "stored_values": 22035, "peak_bytes": 21200, "precision": "fp16", "nonzero_values": 22035, "size_bytes": 42726, "nonzero_bytes": 44070}');
INSERT INTO "trial_user_attributes" VALUES(22,4,'config','{"architecture": "isotropic", "front_end": "dcase24", "num_classes": 3, "in_channels": 1, "patch": 13, "width": 48, "kernel": 6, "depth": 3, "columns": 1, "epochs": 6, "batch_size": 160, "seed": 1, "optimizer": "adamw", "learning_rate": 0.013906783292699692, "weight_decay": 0.054605529531698976, "momentum": 0.0, "schedule": "cosine", "warmup_share": 0.0939719298255118, "plateau_share": 0.0, "final_share": 0.0, "restart_epochs": "", "roll_s": 0.0, "pitch_semitones": 0.0, "impulse_response_p": 0.0, "simulated_devices": 0, "simulated_clips": 7500, "spectrum_correction": false, "mel_top_drop": 0.0, "warp_frames": 0, "shift_frames": 0.0, "mask_bins": 64, "mask_frames": 0, "mix_style_p": 0.2897625639004631, "mix_style_alpha": 0.5787794746185755, "mixture_mask_share": 0.0, "mixture_mask_p": 0.5, "mixup_alpha": 0.0, "mixup_between": false, "label_smoothing": 0.0, "focal_gamma": 0.0, "drop_f": 0.0, "drop_b": 0.0, "adversarial_weight": 0.0, "critic_weight": 0.0, "critic_penalty": 10.0, "cross_gradient_share": 0.0, "cross_gradient_step": 1.0, "distill_weight": 0.0, "distill_temperature": 5.0, "swa_epochs": 0, "ema_decay": 0.0, "prune_to": 0, "prune_share": 0.6, "quantize_share": 0.0, "test_copies": 0}');
INSERT INTO "trial_user_attributes" VALUES(24,4,'epoch:1','{"epoch": 1, "split": "fold1", "train_loss": 1.075783610343933, "macro_accuracy": 0.4166666666666667, "log_loss": 1.1031201978524525, "unseen_accuracy": null, "worst_device_accuracy": 0.25, "duration_s": 10.029288508999798}');
INSERT INTO "trial_user_attributes" VALUES(25,4,'epoch:2','{"epoch": 2, "split": "fold1", "train_loss": 1.0966116189956665, "macro_accuracy": 0.3333333333333333, "log_loss": 1.1191426217556, "unseen_accuracy": null, "worst_device_accuracy": 0.25, "duration_s": 10.05191301800005}');
INSERT INTO "trial_user_attributes" VALUES(26,4,'paused','2');
INSERT INTO "trial_user_attributes" VALUES(27,5,'cost','{"macs": 2132355, "params": 23747, "stored_values": 24963, "peak_bytes": 19680, "precision": "fp16", "nonzero_values": 24963, "size_bytes": 47494, "nonzero_bytes": 49926}');
INSERT INTO "trial_user_attributes" VALUES(28,5,'config','{"architecture": "isotropic", "front_end": "dcase24", "num_classes": 3, "in_channels": 1, "patch": 13, "width": 32, "kernel": 5, "depth": 3, "columns": 3, "epochs": 6, "batch_size": 224, "seed": 1, "optimizer": "adamw", "learning_rate": 0.000509409579971631, "weight_decay": 0.07231148933089464, "momentum": 0.0, "schedule": "cosine", "warmup_share": 0.022032792485474628, "plateau_share": 0.0, "final_share": 0.0, "restart_epochs": "", "roll_s": 0.0, "pitch_semitones": 0.0, "impulse_response_p": 0.0, "simulated_devices": 0, "simulated_clips": 7500, "spectrum_correction": false, "mel_top_drop": 0.0, "warp_frames": 0, "shift_frames": 0.0, "mask_bins": 0, "mask_frames": 0, "mix_style_p": 0.5135059688040303, "mix_style_alpha": 0.27178346634069395, "mixture_mask_share": 0.0, "mixture_mask_p": 0.5, "mixup_alpha": 0.0, "mixup_between": false, "label_smoothing": 0.0, "focal_gamma": 0.0, "drop_f": 0.0, "drop_b": 0.0, "adversarial_weight": 0.0, "critic_weight": 0.0, "critic_penalty": 10.0, "cross_gradient_share": 0.0, "cross_gradient_step": 1.0, "distill_weight": 0.0, "distill_temperature": 5.0, "swa_epochs": 0, "ema_decay": 0.0, "prune_to": 0, "prune_share": 0.6, "quantize_share": 0.0, "test_copies": 0}');
INSERT INTO "trial_user_attributes" VALUES(30,5,'epoch:1','{"epoch": 1, "split": "fold1", "train_loss": 1.1310359239578247, "macro_accuracy": 0.3333333333333333, "log_loss": 1.1010977923870087, "unseen_accuracy": null, "worst_device_accuracy": 0.25, "duration_s": 9.535700610999811}');
INSERT INTO "trial_user_attributes" VALUES(31,5,'epoch:2','{"epoch": 2, "split": "fold1", "train_loss": 1.0479414463043213, "macro_accuracy": 0.3333333333333333, "log_loss": 1.1014093856016796, "unseen_accuracy": null, "worst_device_accuracy": 0.25, "duration_s": 16.447080819999883}');
INSERT INTO "trial_user_attributes" VALUES(32,5,'paused','2');
INSERT INTO "trial_user_attributes" VALUES(45,4,'epoch:3','{"epoch": 3, "split": "fold1", "train_loss": 1.1065139770507812, "macro_accuracy": 0.3333333333333333, "log_loss": 1.1281979084014893, "unseen_accuracy": null, "worst_device_accuracy": 0.25, "duration_s": 2.915422961000104}');
INSERT INTO "trial_user_attributes" VALUES(46,4,'epoch:4','{"epoch": 4, "split": "fold1", "train_loss": 0.9958178997039795, "macro_accuracy": 0.3333333333333333, "log_loss": 1.136739656329155, "unseen_accuracy": null, "worst_device_accuracy": 0.25, "duration_s": 5.806010603000004}');
INSERT INTO "trial_user_attributes" VALUES(47,4,'epoch:5','{"epoch": 5, "split": "fold1", "train_loss": 0.9872586727142334, "macro_accuracy": 0.3333333333333333, "log_loss": 1.1044535438219707, "unseen_accuracy": null, "worst_device_accuracy": 0.25, "duration_s": 5.395911312999942}');
INSERT INTO "trial_user_attributes" VALUES(48,4,'epoch:6','{"epoch": 6, "split": "fold1", "train_loss": 0.8815065622329712, "macro_accuracy": 0.6666666666666666, "log_loss": 1.0813616414864857, "unseen_accuracy": null, "worst_device_accuracy": 0.5, "duration_s": 7.016719071999887}');
INSERT INTO "trial_user_attributes" VALUES(49,4,'quality','{"macro_accuracy": 0.6666666666666666, "accuracy": 0.6666666666666666, "log_loss": 1.0813616414864857, "classes": ["airport", "bus", "park"], "confusion": [[4, 0, 0], [3, 0, 1], [0, 0, 4]], "by_class": {"airport": {"clips": 4, "accuracy": 1.0, "log_loss": 0.9481694251298904}, "bus": {"clips": 4, "accuracy": 0.0, "log_loss": 1.4016238152980804}, "park": {"clips": 4, "accuracy": 1.0, "log_loss": 0.8942916840314865}}, "by_device": {"a": {"clips": 4, "accuracy": 0.75, "log_loss": 1.0323281735181808}, "b": {"clips": 4, "accuracy": 0.75, "log_loss": 1.0467756986618042}, "s1": {"clips": 4, "accuracy": 0.5, "log_loss": 1.1649810522794724}}, "by_group": {"real": {"clips": 8, "accuracy": 0.75, "log_loss": 1.0395519360899925}, "seen": {"clips": 4, "accuracy": 0.5, "log_loss": 1.1649810522794724}}}');
INSERT INTO "trial_user_attributes" VALUES(50,4,'versions','{"python": "3.11.7", "scenefront": "0.1.0", "numpy": "2.4.6", "optuna": "5.0.0", "ray": "2.60.0", "torch": "2.13.0+cpu", "torchaudio": "2.11.0", "step": "fp32, channels first"}');
INSERT INTO "trial_user_attributes" VALUES(76,1,'stopped','"epoch 2: number 8 of the 8 trials that got there, of which 4 went on"');
INSERT INTO "trial_user_attributes" VALUES(77,5,'stopped','"epoch 2: number 5 of the 8 trials that got there, of which 4 went on"');
CREATE TABLE trial_values (
	trial_value_id INTEGER NOT NULL, 
	trial_id INTEGER NOT NULL, 
	objective INTEGER NOT NULL, 
	value FLOAT, 
	value_type VARCHAR(7) NOT NULL, 
	PRIMARY KEY (trial_value_id), 
	UNIQUE (trial_id, objective), 
	FOREIGN KEY(trial_id) REFERENCES trials (trial_id)
);
INSERT INTO "trial_values" VALUES(1,2,0,3.33333333333333314829e-01,'FINITE');
INSERT INTO "trial_values" VALUES(2,2,1,796835.0,'FINITE');
INSERT INTO "trial_values" VALUES(3,4,0,6.66666666666666629659e-01,'FINITE');
INSERT INTO "trial_values" VALUES(4,4,1,1952499.0,'FINITE');
CREATE TABLE trials (
	trial_id INTEGER NOT NULL, 
	number INTEGER, 
	study_id INTEGER, 
	state VARCHAR(8) NOT NULL, 
	datetime_start DATETIME, 
	datetime_complete DATETIME, 
	PRIMARY KEY (trial_id), 
	FOREIGN KEY(study_id) REFERENCES studies (study_id)
);
INSERT INTO "trials" VALUES(1,0,1,'PRUNED','2026-11-29 15:19:22.060824','2026-11-29 15:24:12.408741');
INSERT INTO "trials" VALUES(2,1,1,'COMPLETE','2026-11-29 15:20:06.627111','2026-11-29 15:20:51.910828');
INSERT INTO "trials" VALUES(3,2,1,'PRUNED','2026-11-29 15:20:51.963028','2026-11-29 15:20:51.963028');
INSERT INTO "trials" VALUES(4,3,1,'COMPLETE','2026-11-29 15:20:52.172860','2026-11-29 15:22:48.056575');
INSERT INTO "trials" VALUES(5,4,1,'PRUNED','2026-11-29 15:21:13.056262','2026-11-29 15:24:12.499680');
CREATE TABLE version_info (
	version_info_id INTEGER NOT NULL, 
	schema_version INTEGER, 
	library_version VARCHAR(256), 
	PRIMARY KEY (version_info_id), 
	CHECK (version_info_id=1)
);
INSERT INTO "version_info" VALUES(1,12,'5.0.0');
CREATE UNIQUE INDEX ix_studies_study_name ON studies (study_name);
CREATE INDEX ix_trials_study_id ON trials (study_id);
COMMIT;
